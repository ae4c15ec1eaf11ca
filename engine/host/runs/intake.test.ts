/** Everything written to the folder of a run is stored and sent once, whenever it is read. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { EngineEvents, StepMetrics } from '../../contract.ts';
import { Supervisor } from '../../jobs/supervisor.ts';
import type { Store } from '../../store/open.ts';
import { filledStore, job, runOf, stepOf } from '../../testing/filled-store.ts';
import { writtenRun } from '../../testing/written-run.ts';
import { AdapterRegistry } from '../adapters.ts';
import type { HostContext } from '../context.ts';
import { Unsaved } from '../unsaved.ts';
import { Intake } from './intake.ts';
import { RunRegistry } from './registry.ts';

let folder: string;
let out: string;
let store: Store;
let told: StepMetrics[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-intake-'));
  out = join(folder, 'run');
  store = filledStore(folder, { runs: 0, steps: 0 });
  store.runs.insert(runOf('r', { out, state: 'running' }), job);
  told = [];
});
afterEach(() => {
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Makes what follows the run in a host that has just started. */
function newIntake(): Intake {
  const supervisor = new Supervisor(() => {
    throw new Error('no job is started');
  });
  const context: HostContext = {
    ...{ dataDir: folder, cacheDir: folder, store, supervisor, unsaved: new Unsaved() },
    emit: (name, payload) => {
      if (name === 'run.metrics') told.push(...(payload as EngineEvents['run.metrics']).steps);
    },
  };
  return new Intake(context, new RunRegistry(context), new AdapterRegistry(context), 'r');
}
const numbers = (steps: readonly StepMetrics[]) => steps.map(({ step }) => step);
const log = () => store.log.list('r').map(({ text }) => text);

test('what a power loss took of the folder is not waited for', () => {
  const run = writtenRun(out, () => {});
  run.log('Before.');
  const events = join(out, 'events.jsonl');
  const flushed = statSync(events).size;
  run.log('What the disk never got.');
  newIntake().follow();
  truncateSync(events, flushed + 3);
  newIntake().follow();
  // Whoever goes on with the run cuts the rest of the line off.
  truncateSync(events, flushed);
  appendFileSync(events, `${JSON.stringify({ type: 'log', at: 1, text: 'After.' })}\n`);
  newIntake().follow();
  expect(log().slice(-3)).toEqual(['Before.', 'What the disk never got.', 'After.']);
});

test('a host that comes back finds all that was written meanwhile, and nothing twice', () => {
  const run = writtenRun(out, () => {});
  run.log('Rows are cut.');
  run.step(stepOf(1, 3));
  newIntake().follow();
  run.step(stepOf(2, 2));
  run.evaluation({ step: 2, evalLoss: 1.5 });
  run.sample({ step: 2, prompt: 0, promptText: 'Say it', expected: 'it', text: 'it', verdict: null });
  run.checkpoint({ step: 2, path: join(out, 'checkpoints/step-000002'), bytes: 7, createdAt: 5 });
  const later = newIntake();
  later.follow();
  later.follow();
  newIntake().follow();
  expect(numbers(store.metrics.steps('r', 0))).toEqual([1, 2]);
  expect(numbers(told)).toEqual([1, 2]);
  expect(store.runs.get('r')).toMatchObject({
    step: 2,
    totalSteps: 4,
    lastLoss: 2,
    measures: { loss: { last: 1.5, best: 1.5, bestStep: 2 } },
    trainableParameters: 96,
  });
  // An answer without a verdict is one of an earlier studio.
  expect(store.samples.list('r').map(({ verdict }) => verdict?.text)).toEqual(['as expected']);
  expect(store.checkpoints.list('r')).toEqual([
    { step: 2, path: join(out, 'checkpoints', 'step-000002'), bytes: 7, createdAt: 5 },
  ]);
  expect(log()).toEqual([
    '4 steps, 96 trainable parameters, computed on cpu.',
    'Rows are cut.',
    'Step 2: checkpoint saved.',
    'Step 2: evaluation loss 1.5000.',
  ]);
});

test('the adapter of a run is stored with the line that tells of it, also when the host ends before the run does', () => {
  const run = writtenRun(out, () => {});
  run.evaluation({ step: 4, evalLoss: 1.5 });
  run.published(4, {
    rank: 2,
    alpha: 4,
    targetModules: ['q_proj'],
    parameters: 96,
    bytes: 500,
    hash: 'first',
    configHash: null,
  });
  newIntake().follow();
  const [first] = store.adapters.list('p').filter(({ runId }) => runId === 'r');
  expect(first).toMatchObject({
    ...{ name: 'Run r v2', path: join(out, 'adapter'), runName: 'Run r', step: 4, evalLoss: 1.5, hash: 'first', bytes: 500 },
    ...{ rank: 2, alpha: 4, targetModules: ['q_proj'], parameters: 96, modelPath: '/models/tiny', datasetName: 'rows' },
  });
  store.adapters.update(first!.id, { name: 'Mine', tag: 'best' });
  run.end('done', null);
  const later = newIntake();
  later.follow();
  expect(later.end).toMatchObject({ state: 'done' });
  expect(store.adapters.ofRun('r')).toMatchObject({ id: first!.id, hash: 'first' });
  run.close();

  // A run that goes on to more steps publishes it anew, and its last evaluation may be one of an earlier session.
  const second = writtenRun(out, () => {}, { totalSteps: 6, step: 4 });
  second.step(stepOf(5, 1));
  second.published(6, {
    rank: 2,
    alpha: 4,
    targetModules: ['q_proj'],
    parameters: 96,
    bytes: 500,
    hash: 'second',
    configHash: null,
  });
  newIntake().follow();
  expect(store.adapters.list('p').filter(({ runId }) => runId === 'r')).toEqual([
    { ...first, name: 'Mine', tag: 'best', step: 6, hash: 'second' },
  ]);
});

test('what is half written counts once it is whole, at whatever byte it was cut', () => {
  writtenRun(out, () => {});
  const intake = newIntake();
  intake.follow();
  const metrics = Buffer.from([stepOf(1, 3), stepOf(2, 2)].map((row) => `${JSON.stringify(row)}\n`).join(''));
  const events = Buffer.from(`${JSON.stringify({ type: 'log', at: 1, text: 'Schön war’s' })}\n`);
  for (const [name, bytes] of [
    ['metrics.jsonl', metrics],
    ['events.jsonl', events],
  ] as const)
    for (const byte of bytes) {
      appendFileSync(join(out, name), Buffer.of(byte));
      intake.follow();
    }
  expect(numbers(told)).toEqual([1, 2]);
  expect(log().slice(1)).toEqual(['Schön war’s']);
});

test('a run that goes on from a checkpoint forgets what came after it, and is not told what is known', () => {
  const first = writtenRun(out, () => {});
  for (const step of [1, 2, 3]) first.step(stepOf(step, 9));
  for (const step of [1, 2, 3]) first.checkpoint({ step, path: join(out, `checkpoints/step-${step}`), bytes: 1, createdAt: 0 });
  const intake = newIntake();
  intake.follow();
  first.step(stepOf(4, 9));
  first.close();
  told = [];
  const second = writtenRun(out, () => {}, { step: 2 });
  intake.follow();
  expect(numbers(store.metrics.steps('r', 0))).toEqual([1, 2]);
  expect(store.checkpoints.list('r').map(({ step }) => step)).toEqual([2]);
  expect(store.runs.get('r')!.step).toBe(2);
  for (const step of [3, 4, 5]) second.step(stepOf(step, 1));
  intake.follow();
  expect(numbers(told)).toEqual([3, 4, 5]);
  expect(store.metrics.steps('r', 0).map(({ loss }) => loss)).toEqual([9, 9, 1, 1, 1]);
});

test('steps that were added before the new beginning was read are those of the new session', () => {
  const first = writtenRun(out, () => {});
  for (const step of [1, 2, 3]) first.step(stepOf(step, 9));
  const intake = newIntake();
  intake.follow();
  first.close();
  // The file was cut, and is longer again than what was read of it.
  const second = writtenRun(out, () => {}, { step: 1 });
  for (const step of [2, 3, 4, 5]) second.step(stepOf(step, 1));
  intake.follow();
  expect(store.metrics.steps('r', 0).map(({ loss }) => loss)).toEqual([9, 1, 1, 1, 1]);
});

test('what an objective tells of a step besides its loss is kept with the step', () => {
  const run = writtenRun(out, () => {});
  const steps = [{ ...stepOf(1, 3), measures: { accuracy: 0.5, margin: -1.25 } }, stepOf(2, 2)];
  for (const step of steps) run.step(step);
  appendFileSync(join(out, 'metrics.jsonl'), `${JSON.stringify({ ...stepOf(3, 1), measures: { accuracy: 'all' } })}\n`);
  newIntake().follow();
  expect(told).toEqual(steps);
  expect(store.metrics.steps('r', 0)).toEqual(steps);
  expect(log()).toContain('1 lines in the folder of the run cannot be read.');
});

test('lines that nobody understands are said and passed over', () => {
  const run = writtenRun(out, () => {});
  const lines = [
    '{"step":1,"loss":',
    'null',
    '{"type":"nonsense","at":1}',
    '{"type":"checkpoint","at":1,"step":1,"name":"../x","bytes":1}',
    '{"type":"adapter","at":1,"step":1,"evalLoss":null,"adapter":{"rank":2,"alpha":4,"targetModules":["q"],"parameters":1,"bytes":-1,"hash":"h"}}',
  ];
  appendFileSync(join(out, 'events.jsonl'), lines.map((line) => `${line}\n`).join(''));
  appendFileSync(join(out, 'metrics.jsonl'), `${JSON.stringify({ ...stepOf(1, 1), loss: null })}\n{"step":-1,"evalLoss":1}\n`);
  run.step(stepOf(1, 1));
  newIntake().follow();
  expect(numbers(store.metrics.steps('r', 0))).toEqual([1]);
  expect(store.checkpoints.list('r')).toEqual([]);
  expect(log()).toContain('7 lines in the folder of the run cannot be read.');
});

test('many steps are read piece by piece, and the next one from where they end', () => {
  const run = writtenRun(out, () => {});
  const row = JSON.stringify(stepOf(1, 1));
  const many = Array.from({ length: 20_000 }, (_, index) => `${row.replace('"step":1', `"step":${index + 1}`)}\n`).join('');
  appendFileSync(join(out, 'metrics.jsonl'), many);
  const intake = newIntake();
  intake.follow();
  expect(store.metrics.last('r').step).toBe(20_000);
  const size = readFileSync(join(out, 'metrics.jsonl')).length;
  run.step(stepOf(20_001, 1));
  intake.follow();
  expect(store.runs.position('r').metrics).toBeGreaterThan(size);
  expect(store.metrics.last('r').step).toBe(20_001);
});
