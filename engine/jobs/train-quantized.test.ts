/** Training on a base in few bits: it learns, and a resumed run gives the same bits. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { JobSpec } from '../contract.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { embeddedModelPath } from '../resources.ts';
import { portUntil } from '../testing/port.ts';
import { stepsOf } from '../testing/run-events.ts';
import { notesOnBase } from './export.ts';
import { runTrain } from './train.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

const golden = join(import.meta.dirname, '../golden/llama-tied');
const work = mkdtempSync(join(tmpdir(), 'train-quantized-'));
afterAll(() => rmSync(work, { recursive: true }));

const recipe = {
  rank: 4,
  maxSteps: 8,
  batchSize: 16,
  evalEvery: 0,
  saveEvery: 2,
  learningRate: 0.01,
  targetModules: 'all-linear',
};

async function run(name: string, changes: Partial<TrainSpec>, stopAfter = Infinity): Promise<number[]> {
  const spec: TrainSpec = {
    kind: 'train',
    model: { path: join(golden, 'model') },
    data: { paths: [join(golden, 'rows.jsonl')] },
    adapterPath: null,
    recipe,
    out: join(work, name),
    device: 'auto',
    skipBadRows: false,
    resume: false,
    cacheDir: join(work, 'cache'),
  };
  await runTrain({ ...spec, ...changes }, portUntil(spec.out, stopAfter));
  return stepsOf(spec.out).map(({ loss }) => loss);
}
const bytes = (name: string): Buffer => readFileSync(join(work, name, 'adapter', 'adapter_model.safetensors'));

it.each(['4bit', '8bit'])('learns on a base in %s and resumes to the same bits', async (baseQuantization) => {
  const given = { recipe: { ...recipe, baseQuantization } };
  const [whole, cut] = [`${baseQuantization}-whole`, `${baseQuantization}-cut`];
  const losses = await run(whole, given);
  expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.05);
  await expect(run(cut, given, 3)).rejects.toThrow(Problem);
  await expect(run(cut, { resume: true })).resolves.toBeDefined();
  expect(bytes(cut)).toEqual(bytes(whole));
  const other = run(cut, { resume: true, recipe: { ...recipe, baseQuantization: 'none' } });
  await expect(other).rejects.toThrow("different 'baseQuantization'");
});

it('begins closer to the base that was not rounded with loftq', async () => {
  const first = async (name: string, more: object): Promise<number> =>
    (await run(name, { recipe: { ...recipe, ...more, maxSteps: 1 } }))[0]!;
  const exact = await first('exact', {});
  const rounded = await first('rounded', { baseQuantization: '4bit' });
  const started = await first('loftq', { baseQuantization: '4bit', initialization: 'loftq', rank: 16 });
  expect(Math.abs(started - exact)).toBeLessThan(0.7 * Math.abs(rounded - exact));
});

it('says when an adapter is merged with a base that is quantized itself', () => {
  expect(notesOnBase(openModel(join(golden, 'model')))).toEqual([]);
  expect(notesOnBase(openModel(embeddedModelPath()))).toEqual([expect.stringContaining('is quantized (Q4_1)')]);
});
