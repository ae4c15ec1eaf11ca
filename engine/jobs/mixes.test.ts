/** A run on a mix: the same as on its one part alone, evaluated part by part, and resumed in the middle as if it had not been stopped. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DataAt, EvalMetrics, JobSpec, MetricRow, Mix, StepMetrics } from '../contract.ts';
import { saidIn } from '../testing/run-events.ts';
import { runEvaluate } from './evaluate.ts';
import type { JobPort } from './port.ts';
import { readRunRecord } from './run-folder.ts';
import { runTrain } from './train.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

const golden = join(import.meta.dirname, '../golden/llama-tied');
const work = mkdtempSync(join(tmpdir(), 'lowrank-mixes-'));
afterAll(() => rmSync(work, { recursive: true }));
const lines = readFileSync(join(golden, 'rows.jsonl'), 'utf8').trim().split('\n');
function file(name: string, of: readonly string[]): string {
  const path = join(work, name);
  writeFileSync(path, of.map((line) => `${line}\n`).join(''));
  return path;
}
const [a, b, evalA, evalB] = [
  file('a.jsonl', lines.slice(0, 6)),
  file('b.jsonl', lines.slice(6, 12)),
  file('eval-a.jsonl', lines.slice(12, 13)),
  file('eval-b.jsonl', lines.slice(13, 16)),
];

let count = 0;
function specOf(data: DataAt, changes: Partial<TrainSpec> = {}): TrainSpec {
  return {
    ...{ kind: 'train', model: { path: join(golden, 'model') }, data, adapterPath: null, device: 'auto', skipBadRows: false },
    recipe: { rank: 2, epochs: 2, batchSize: 4, evalEvery: 2, saveEvery: 1, learningRate: 0.01, dropout: 0.1 },
    ...{ out: join(work, `run-${count++}`), resume: false, cacheDir: join(work, 'cache') },
    ...changes,
  };
}
const port = (isStopped = () => false): JobPort => ({
  send: () => {},
  get stopRequested() {
    return isStopped();
  },
  onRequest: () => {},
  untilStopped: () => new Promise(() => {}),
});
const mixed = (mix: Mix): DataAt => ({
  mix,
  paths: mix.parts.flatMap(({ data }) => data.paths),
  evalPaths: mix.parts.flatMap(({ data }) => data.evalPaths ?? []),
});
const both = mixed({
  parts: [
    { name: 'support', data: { paths: [a], evalPaths: [evalA] }, repeat: 1.5 },
    { name: 'general', data: { paths: [b], evalPaths: [evalB] }, repeat: 1, most: 4 },
  ],
  seed: 3,
});
const weights = (out: string) => readFileSync(join(out, 'adapter', 'adapter_model.safetensors'));
const rowsOf = (out: string) =>
  readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricRow);
/** What does not depend on how long something took. */
const numbersOf = (out: string) =>
  rowsOf(out).map((row) => ('loss' in row ? (({ seconds: _, memory: __, ...rest }: StepMetrics) => rest)(row) : row));

test('a mix of one part is trained bit for bit as the part alone', async () => {
  const alone = specOf({ paths: [a], evalPaths: [evalA] });
  const one = specOf(mixed({ parts: [{ name: 'one', data: { paths: [a], evalPaths: [evalA] }, repeat: 1 }], seed: 9 }));
  for (const spec of [alone, one]) await runTrain(spec, port());
  expect(numbersOf(one.out)).toEqual(numbersOf(alone.out));
  expect(weights(one.out).equals(weights(alone.out))).toBe(true);
});

test('each part is evaluated, and the whole is weighted by tokens', async () => {
  const spec = specOf(both);
  await runTrain(spec, port());
  const evaluations = rowsOf(spec.out).filter((row): row is EvalMetrics => 'evalLoss' in row);
  expect(evaluations.length).toBeGreaterThan(2);
  for (const [data, name] of [
    [evalA, 'loss/support'],
    [evalB, 'loss/general'],
  ] as const) {
    const { model, cacheDir } = spec;
    const adapterPath = join(spec.out, 'adapter');
    const job = { kind: 'evaluate', model, cacheDir, data: { paths: [data] }, adapterPath } as const;
    const { measures } = await runEvaluate(job, port());
    expect(evaluations.at(-1)!.measures![name]).toBeCloseTo(measures.loss!.value, 5);
  }
  const tokens = (at: readonly string[]) =>
    at.map((line) => (JSON.parse(line) as { labels: number[] }).labels.slice(1).filter((label) => label >= 0).length);
  const sum = (all: number[]) => all.reduce((total, one) => total + one, 0);
  const [ofA, ofB] = [sum(tokens(lines.slice(12, 13))), sum(tokens(lines.slice(13, 16)))];
  for (const { evalLoss, measures } of evaluations) {
    expect(Object.keys(measures!)).toEqual(['loss/support', 'loss/general']);
    const whole = (measures!['loss/support']! * ofA + measures!['loss/general']! * ofB) / (ofA + ofB);
    expect(evalLoss).toBeCloseTo(whole, 10);
  }
  const { data, evaluation, totalSteps } = readRunRecord(spec.out);
  expect(data).toMatchObject({ mix: both.mix, rows: 13, examples: 13 });
  expect(evaluation).toMatchObject({ rows: 4 });
  // 13 rows in each of two epochs, four at a time.
  expect(totalSteps).toBe(7);
  expect(saidIn(spec.out).join('\n')).toContain('support ×1.5 (9 rows); general ×1, at most 4 (4 rows)');
});

test('a mix that is stopped in the middle goes on bit for bit, and only as the same mix', async () => {
  const whole = specOf(both);
  await runTrain(whole, port());
  const stopped = specOf(both);
  const isUnderway = () => {
    try {
      return rowsOf(stopped.out).some((row) => 'loss' in row && row.step === 3);
    } catch {
      return false;
    }
  };
  await expect(runTrain(stopped, port(isUnderway))).rejects.toMatchObject({ code: 'stopped' });
  const resume = (data: DataAt, out: string) => runTrain({ ...stopped, data, out, resume: true, recipe: {} }, port());
  const other = join(work, 'other');
  cpSync(stopped.out, other, { recursive: true });
  const seed = { ...both, mix: { ...both.mix!, seed: 4 } };
  await expect(resume(seed, other)).rejects.toMatchObject({ code: 'request-invalid' });
  await resume(both, stopped.out);
  expect(numbersOf(stopped.out)).toEqual(numbersOf(whole.out));
  expect(weights(stopped.out).equals(weights(whole.out))).toBe(true);
});
