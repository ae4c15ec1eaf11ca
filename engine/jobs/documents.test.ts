/** A long document is trained in its parts, and check, plan and run agree on how many there are. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DataReport, JobRequest } from '../contract.ts';
import { silentAsker, silentPort } from '../testing/port.ts';
import { runData } from './data.ts';
import type { JobAsker } from './port.ts';
import type { RunRecord } from './run-folder.ts';
import { runTrain } from './train.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-documents-'));
afterAll(() => rmSync(work, { recursive: true }));
const model = { path: 'resources/tiny/model' };
const data = join(work, 'book.md');
writeFileSync(data, Array.from({ length: 200 }, (_, i) => `Line ${i} of a long text.`).join('\n'));
const cacheDir = join(work, 'cache');

async function report(rowSettings: { longDocuments: 'split' | 'cut'; documentOverlap: number }): Promise<DataReport> {
  let answer: (request: JobRequest, asker: JobAsker) => unknown = () => null;
  const port = { ...silentPort, onRequest: (listener: typeof answer) => (answer = listener), untilStopped: async () => {} };
  await runData({ kind: 'data', model, cacheDir }, port);
  return (await answer({ name: 'report', data: { paths: [data] }, maxLength: 64, rowSettings }, silentAsker)) as DataReport;
}

test.each([
  { longDocuments: 'split', documentOverlap: 0 },
  { longDocuments: 'split', documentOverlap: 16 },
  { longDocuments: 'cut', documentOverlap: 16 },
] as const)('with %j', async (settings) => {
  const checked = await report(settings);
  const out = join(work, JSON.stringify(settings).replaceAll(/\W/g, ''));
  await runTrain(
    {
      ...{ kind: 'train', model, data: { paths: [data] }, adapterPath: null, out, cacheDir, device: 'cpu' },
      recipe: { rank: 1, maxSteps: 1, batchSize: 2, maxLength: 64, ...settings },
      ...{ skipBadRows: false, resume: false },
    },
    silentPort,
  );
  const { data: trained } = JSON.parse(readFileSync(join(out, 'run.json'), 'utf8')) as RunRecord;
  const isCut = settings.longDocuments === 'cut';
  const step = 64 - settings.documentOverlap;
  expect(checked.examples).toBe(isCut ? 1 : 1 + Math.ceil((checked.longest - 64) / step));
  expect(trained).toMatchObject({ rows: 1, examples: checked.examples, truncated: isCut ? 1 : 0 });
  expect(checked.truncatedRows).toBe(isCut ? 1 : 0);
  expect(checked.lengths.reduce((sum, { rows }) => sum + rows, 0)).toBe(checked.examples);
});
