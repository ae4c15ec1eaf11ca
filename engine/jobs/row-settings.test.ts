/** Whether documents get an end is decided once, and training, evaluation, checks and later sessions of a run hold to it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DataReport, JobRequest, RenderedRow, RenderedRows } from '../contract.ts';
import { silentAsker } from '../testing/port.ts';
import { runData } from './data.ts';
import { runEvaluate } from './evaluate.ts';
import type { Asker, JobPort } from './port.ts';
import { readRunFolder, type RunRecord } from './run-folder.ts';
import { runTrain } from './train.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-row-settings-'));
afterAll(() => rmSync(work, { recursive: true }));
const modelPath = 'resources/tiny/model';
const data = join(work, 'documents.jsonl');
writeFileSync(data, '{"text": "a b c d e"}\n{"text": "one two three"}\n');
const cacheDir = join(work, 'cache');
const port: JobPort = { send: () => {}, stopRequested: false, onRequest: () => {}, untilStopped: () => new Promise(() => {}) };

async function ask(request: JobRequest): Promise<unknown> {
  let answer: (request: JobRequest, asker: Asker) => unknown = () => null;
  const asking = { ...port, onRequest: (listener: typeof answer) => (answer = listener), untilStopped: async () => {} };
  await runData({ kind: 'data', model: { path: modelPath }, cacheDir }, asking as JobPort);
  return answer(request, silentAsker);
}
const tokens = (addEosToken: boolean) =>
  ask({ name: 'report', data: { paths: [data] }, maxLength: 100, rowSettings: { addEosToken } }).then(
    (report) => (report as DataReport).trainedTokens,
  );

test('checks, rendering, evaluation and training take as many tokens as the setting says', async () => {
  const [ended, open] = [await tokens(true), await tokens(false)];
  expect(ended).toBe(open + 2);
  const rendered = ((await ask({ name: 'render', data: { paths: [data] }, offset: 0 })) as RenderedRows).rows as RenderedRow[];
  expect(rendered.reduce((sum, { labels }) => sum + labels.length - 1, 0)).toBe(ended);

  const evaluate = {
    kind: 'evaluate',
    model: { path: modelPath },
    data: { paths: [data] },
    adapterPath: null,
    cacheDir,
  } as const;
  expect((await runEvaluate(evaluate, port)).supervisedTokens).toBe(ended);
  expect((await runEvaluate({ ...evaluate, rowSettings: { addEosToken: false } }, port)).supervisedTokens).toBe(open);

  for (const addEosToken of [true, false]) {
    const out = join(work, `run-${addEosToken}`);
    const recipe = { rank: 1, maxSteps: 1, batchSize: 2, addEosToken };
    const files = { data: { paths: [data] }, adapterPath: null, out, cacheDir };
    await runTrain(
      { kind: 'train', model: { path: modelPath }, ...files, recipe, device: 'cpu', skipBadRows: false, resume: false },
      port,
    );
    const [first] = readFileSync(join(out, 'metrics.jsonl'), 'utf8').split('\n');
    expect((JSON.parse(first!) as { supervisedTokens: number }).supervisedTokens).toBe(addEosToken ? ended : open);
  }
});

test('a run that was recorded before there was the setting goes on without an end', () => {
  const out = join(work, 'run-true');
  const path = join(out, 'run.json');
  const { recipe, ...record } = JSON.parse(readFileSync(path, 'utf8')) as RunRecord;
  const { addEosToken, ...earlier } = recipe;
  expect(addEosToken).toBe(true);
  expect(readRunFolder(out)?.record.recipe.addEosToken).toBe(true);
  writeFileSync(path, JSON.stringify({ ...record, recipe: earlier }));
  expect(readRunFolder(out)?.record.recipe).toEqual({ ...recipe, addEosToken: false });
});
