/** A data set whose files change: what is said, what is refused, and what a new version is. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Run } from '../contract.ts';
import { readRunRecord } from '../jobs/run-folder.ts';
import { connectHost, type HostClient } from '../rpc.ts';

const golden = (name: string) => fileURLToPath(new URL(`../golden/llama-tied/${name}`, import.meta.url));
const limit = 300_000;
let folder: string;
let client: HostClient;
let projectId: string;
let model: { readonly id: string };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-versions-'));
  client = await connectHost(join(folder, 'data'));
  projectId = (await client.request('projects.create', { name: 'Tests' })).id;
  model = { id: (await client.request('models.add', { projectId, path: golden('model') })).id };
}, limit);
afterAll(() => {
  client.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
}, limit);

function rowsFile(name: string, rows: readonly object[]): string {
  const path = join(folder, name);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}

function ended(id: string): Promise<Run> {
  return new Promise((done) => {
    const look = (run: Run) => {
      if (run.id === id && run.finishedAt !== null) done(run);
    };
    client.on('run.changed', look);
    void client.request('runs.get', { id }).then(look);
  });
}

const ids = (...input_ids: number[]) => ({ input_ids });
const recipe = { rank: 2, maxSteps: 1 };

test('a run names the version it was trained on; changed files are said and refused until they are a version', async () => {
  const [path, kept] = [rowsFile('rows.jsonl', [ids(1, 2, 3), ids(4, 5, 6)]), rowsFile('kept.jsonl', [ids(7, 8, 9)])];
  const dataset = await client.request('datasets.add', { projectId, data: { paths: [path], evalPaths: [kept] } });
  const first = { versionId: dataset.version.id };
  const run = await ended((await client.request('runs.start', { projectId, model, data: first, recipe })).id);
  expect(run).toMatchObject({ state: 'done', versionId: dataset.version.id, version: 1, datasetId: dataset.id });
  const named = { id: dataset.version.id, sequence: 1, dataset: 'rows' };
  expect(readRunRecord(run.out)).toMatchObject({ data: { version: named }, evaluation: { version: named } });
  // What is as it was is no new version.
  expect(await client.request('datasets.addVersion', { id: dataset.id })).toEqual(dataset);

  rowsFile('kept.jsonl', [ids(7, 8, 10)]);
  const report = (data: { versionId: string }) => client.request('data.report', { model, data, maxLength: 64 });
  expect((await report(first)).changed).toEqual([kept]);
  const plan = await client.request('runs.plan', { model, data: first, recipe });
  expect(plan.notes.join()).toContain(`${kept} has changed since`);
  const refused = await ended((await client.request('runs.start', { projectId, model, data: first, recipe })).id);
  expect(refused).toMatchObject({ state: 'failed', problem: { code: 'data-changed' } });
  expect(refused.problem!.message).toContain(kept);
  const evaluated = await client.request('evaluate.start', { model, data: first, split: 'eval', adapter: null });
  expect(evaluated.notes.join()).toContain(`${kept} has changed`);
  const [adapter] = await client.request('adapters.list', { projectId });
  const exported = await client.request('exports.start', {
    ...{ model, adapters: [{ id: adapter!.id }], format: 'peft', quantization: null },
    ...{ out: join(folder, 'exported'), proof: true },
  });
  expect(exported.notes!.join()).toContain(`${kept} has changed`);

  const next = await client.request('datasets.addVersion', { id: dataset.id });
  expect(next).toMatchObject({ id: dataset.id, version: { sequence: 2, trainRows: 2, evalRows: 1 } });
  expect(await client.request('datasets.list', { projectId })).toEqual([next]);
  const second = { versionId: next.version.id };
  expect((await report(second)).changed).toEqual([]);
  const again = await ended((await client.request('runs.start', { projectId, model, data: second, recipe })).id);
  expect(again).toMatchObject({ state: 'done', versionId: next.version.id, version: 2 });

  const byPath = { paths: [path] };
  const loose = await ended((await client.request('runs.start', { projectId, model, data: byPath, recipe })).id);
  expect(loose).toMatchObject({ state: 'done', versionId: null, version: null });
  expect(readRunRecord(loose.out).data).not.toHaveProperty('version');
  // A run says which version it learned from also when the data set is gone.
  await client.request('datasets.remove', { id: dataset.id });
  expect(await client.request('runs.get', { id: again.id })).toMatchObject({ versionId: null, version: 2 });
}, 300_000);

test(
  'a mapping is kept with the version, and nothing is copied for it',
  async () => {
    const path = rowsFile('tickets.jsonl', [{ ticket: 'Where is my lamp?', reply: 'On its way.' }]);
    const mapping = { question: null, answer: 'reply', system: null };
    const { version } = await client.request('datasets.add', { projectId, data: { paths: [path], mapping } });
    expect(version).toMatchObject({ mapping, format: 'text', files: [{ path, split: 'train' }] });
    const [embedded] = (await client.request('models.list', { projectId })).filter((one) => one.embedded);
    const data = { versionId: version.id };
    const { rows } = await client.request('data.render', { model: { id: embedded!.id }, data, offset: 0 });
    expect(rows).toMatchObject([{ text: expect.stringContaining('On its way.') as unknown }]);
  },
  limit,
);
