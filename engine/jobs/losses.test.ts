/** The losses of tokens that a person sees are those that an evaluation sums, without and with an adapter. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { JobRequest, LabelledRow, RowLosses } from '../contract.ts';
import { readRows } from '../testing/read-rows.ts';
import { openModel } from '../models/open.ts';
import { silentAsker, silentPort } from '../testing/port.ts';
import { runEvaluate } from './evaluate.ts';
import { runLosses } from './losses.ts';
import type { JobAsker } from './port.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-losses-'));
afterAll(() => rmSync(work, { recursive: true }));
const golden = join(import.meta.dirname, '../golden/llama-tied');
const model = { path: join(golden, 'model') };
const adapterPath = join(golden, 'adapter');
const cacheDir = join(work, 'cache');
const data = { paths: [join(golden, 'rows.jsonl')] };

function scorer(): (request: JobRequest, asker?: JobAsker) => Promise<unknown> {
  let handler: (request: JobRequest, asker: JobAsker) => Promise<unknown> = () => Promise.reject(new Error('not there'));
  void runLosses({ kind: 'losses', model, cacheDir }, { ...silentPort, onRequest: (given) => (handler = given) });
  return (request, asker = silentAsker) => handler(request, asker);
}

async function rowsOf(): Promise<LabelledRow[]> {
  const { rows } = await readRows(data, null, openModel(model.path).spec.vocabularySize);
  return rows.flatMap((row) => ('inputIds' in row ? { inputIds: [...row.inputIds], labels: [...row.labels] } : []));
}

test('they are those of an evaluation, one for each trained token', async () => {
  const ask = scorer();
  const rows = await rowsOf();
  const adapter = { path: adapterPath, weight: 1 };
  const { base, adapted } = (await ask({ name: 'losses', adapter, rows })) as RowLosses;
  for (const [path, losses] of [
    [null, base],
    [adapterPath, adapted!],
  ] as const) {
    const { rows: evaluated } = await runEvaluate({ kind: 'evaluate', model, data, adapterPath: path, cacheDir }, silentPort);
    expect(losses.map(({ length }) => length)).toEqual(evaluated.map(({ supervisedTokens }) => supervisedTokens));
    const means = losses.map((own) => own.reduce((sum, loss) => sum + loss, 0) / own.length);
    evaluated.forEach(({ measures }, i) => expect(means[i]).toBeCloseTo(measures.loss!, 4));
  }
  expect(adapted).not.toEqual(base);
  expect(await ask({ name: 'losses', adapter: null, rows: rows.slice(0, 1) })).toEqual({
    base: base.slice(0, 1),
    adapted: null,
  });
});

test('a row without trained tokens has none, and who has gone is not waited on', async () => {
  const ask = scorer();
  const row = { inputIds: [5, 6, 7], labels: [5, -100, -100] };
  expect(await ask({ name: 'losses', adapter: null, rows: [row] })).toEqual({ base: [[]], adapted: null });
  const gone = { ...silentAsker, signal: AbortSignal.abort() };
  await expect(ask({ name: 'losses', adapter: null, rows: [row] }, gone)).rejects.toMatchObject({ code: 'stopped' });
  await expect(async () => ask({ name: 'find', data, text: 'a', from: 0 })).rejects.toMatchObject({ code: 'request-invalid' });
});
