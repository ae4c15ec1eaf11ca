/** Checks, plans, runs and evaluations are the same with and without tokens that an earlier job has kept, and take them where they are. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { DataAt, DataReport, JobRequest, JobSpec } from '../contract.ts';
import { KeptRowsWriter, keptRowsFolder } from '../data/kept-rows.ts';
import { openModel } from '../models/open.ts';
import { silentAsker, silentPort } from '../testing/port.ts';
import { saidIn } from '../testing/run-events.ts';
import { runData } from './data.ts';
import { runEvaluate } from './evaluate.ts';
import type { JobAsker } from './port.ts';
import { readRunRecord } from './run-folder.ts';
import { tokenCache } from './token-cache.ts';
import { runTrain } from './train.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-token-cache-'));
afterAll(() => rmSync(work, { recursive: true }));
const modelPath = join(import.meta.dirname, '../../resources/tiny/model');
const model = openModel(modelPath);
let count = 0;
let cacheDir: string;
beforeEach(() => {
  cacheDir = join(work, `cache-${count++}`);
});

function newFile(rows: readonly unknown[]): string {
  const path = join(work, `rows-${count++}.jsonl`);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}
const chat = (question: string, answer: string) => ({
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ],
});
const rows = [
  ...Array.from({ length: 20 }, (_, i) => ({ ...chat(`What is ${i} and ${i}?`, `It is ${2 * i}.`), id: i })),
  chat('What is 3 and 3?', 'It is 6.'),
  chat('What is <|end|>?', 'The end of a turn.'),
  { text: 'A long text about lamps. '.repeat(20) },
  chat('Nothing', ''),
];
const data = { paths: [newFile(rows)], evalPaths: [newFile([{ text: 4 }, ...rows.slice(2, 6), chat('Hm, <|end|>?', 'Yes.')])] };

/** Starts a separate data job, as another process would be. */
async function report(maxLength: number, of: DataAt = data, at = cacheDir): Promise<DataReport> {
  let answer: (request: JobRequest, asker: JobAsker) => unknown = () => null;
  const port = {
    ...silentPort,
    onRequest: (listener: typeof answer) => void (answer = listener),
    untilStopped: async () => {},
  };
  await runData({ kind: 'data', model: { path: modelPath }, cacheDir: at }, port as typeof silentPort);
  return (await answer({ name: 'report', data: of, maxLength }, silentAsker)) as DataReport;
}
type TrainSpec = Extract<JobSpec, { kind: 'train' }>;
function newRun(changes: Partial<TrainSpec> = {}): TrainSpec {
  return {
    ...{ kind: 'train', model: { path: modelPath }, data, adapterPath: null, device: 'cpu', cacheDir },
    recipe: { rank: 2, maxSteps: 3, batchSize: 2, maxLength: 24, evalEvery: 2 },
    ...{ out: join(work, `run-${count++}`), skipBadRows: true, resume: false },
    ...changes,
  };
}
/** Returns what a run leaves, without times. */
function left({ out }: TrainSpec): unknown {
  const { startedAt: _, finishedAt: __, ...record } = readRunRecord(out);
  const metrics = readFileSync(join(out, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const untimed = metrics.map((line) => ({ ...(JSON.parse(line) as object), seconds: 0, memory: 0 }));
  return [record, untimed, saidIn(out), readFileSync(join(out, 'adapter/adapter_model.safetensors'), 'hex')];
}
const evaluation = (of: TrainSpec['data'], at = cacheDir) =>
  runEvaluate({ kind: 'evaluate', model: { path: modelPath }, data: of, adapterPath: null, cacheDir: at }, silentPort);
const keptFiles = () => readdirSync(keptRowsFolder(cacheDir)).toSorted();

test(
  'a check, a run and its log, and an evaluation are the same where the tokens were kept as where they were not',
  { timeout: 180_000 },
  async () => {
    const [cold, warm] = [await report(24), await report(24)];
    expect(warm).toEqual(cold);
    expect(cold.checks.filter(({ severity }) => severity !== 'passed').length).toBeGreaterThan(3);
    const kept = keptFiles();
    expect(kept).toHaveLength(2);
    // Another length needs no new tokens.
    expect(await report(1024)).toEqual(await report(1024, data, join(work, `cache-${count++}`)));

    const [without, using] = [newRun({ cacheDir: join(work, `cache-${count++}`) }), newRun()];
    await runTrain(without, silentPort);
    await runTrain(using, silentPort);
    expect(left(using)).toEqual(left(without));
    expect(saidIn(using.out).join()).toContain('special tokens in what messages say');
    const more = (spec: TrainSpec) => runTrain({ ...spec, resume: true, recipe: { maxSteps: 5 } }, silentPort);
    await more({ ...without, cacheDir: join(work, `cache-${count++}`) });
    await more(using);
    expect(left(using)).toEqual(left(without));
    expect(keptFiles()).toEqual(kept);

    const usable = { paths: [newFile(rows.slice(0, 20))] };
    const fresh = await evaluation(usable, join(work, `cache-${count++}`));
    expect(await evaluation(usable)).toEqual(fresh);
    expect(await evaluation(usable)).toEqual(fresh);
    expect(keptFiles()).toHaveLength(3);
  },
);

test('whoever comes later reads what the first one has kept: checks, runs and evaluations', async () => {
  const of = { paths: [newFile(rows.slice(0, 20))] };
  await report(1024, of);
  // In the place of the tokens of twenty rows, those of two others.
  const [key] = keptFiles();
  const writer = new KeptRowsWriter(join(keptRowsFolder(cacheDir), key!), key!);
  for (const line of [1, 2]) {
    const inputIds = Int32Array.of(5, 6, 7, line);
    writer.add(0, { line, at: 0, made: [{ inputIds, labels: inputIds }] });
  }
  writer.finish({ format: 'text', hash: 'h', hashes: ['h'], formats: [], unused: [], repeated: [] });
  expect(await report(1024, of)).toMatchObject({ rows: 2, tokens: 8 });
  expect((await evaluation(of)).rows).toHaveLength(2);
  const run = newRun({ data: of });
  await runTrain(run, silentPort);
  expect(readRunRecord(run.out).data).toMatchObject({ rows: 2, format: 'text' });
});

test('another tokenizer, template or vocabulary has other tokens', () => {
  const decided = (path: string) => tokenCache(openModel(path), cacheDir).decidedBy;
  const changed = (name: string, change: (text: string) => string) => {
    const folder = join(work, `model-${count++}`);
    cpSync(modelPath, folder, { recursive: true });
    writeFileSync(join(folder, name), change(readFileSync(join(folder, name), 'utf8')));
    return decided(folder);
  };
  const own = decided(modelPath);
  expect(changed('chat_template.jinja', (text) => text)).toBe(own);
  const others = [
    changed('chat_template.jinja', (text) => `${text} `),
    changed('tokenizer.json', (text) => `${text} `),
    changed('tokenizer_config.json', (text) => text.replace('{', '{"add_bos_token": true,')),
    decided(join(import.meta.dirname, '../../resources/models/SmolLM2-135M-Instruct.Q4_1.gguf')),
    tokenCache({ tokenizerSource: null }, cacheDir).decidedBy,
  ];
  expect(new Set([own, ...others]).size).toBe(6);
  expect(tokenCache(model, cacheDir).decidedBy).toBe(own);
});

test('a disk that takes no tokens is said in the log, and fails nothing', { timeout: 120_000 }, async () => {
  const blocked = join(work, `cache-${count++}`);
  cpSync(modelPath, blocked, { recursive: true });
  writeFileSync(keptRowsFolder(blocked), '');
  expect(await report(24, data, blocked)).toEqual(await report(24));
  const run = newRun({ cacheDir: blocked });
  await runTrain(run, silentPort);
  expect(saidIn(run.out).filter((text) => text.includes('the tokens were not cached'))).toHaveLength(2);
  expect((await evaluation({ paths: [newFile(rows.slice(0, 3))] }, blocked)).notes.join()).toContain('not cached');
});
