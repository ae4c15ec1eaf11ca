/** The files of a data set change: people are told, runs are refused, and a new version can be made. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AskedChange, Run, Split } from '../contract.ts';
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

test(
  'rows are held back and left out as versions; a run trains and evaluates on them, goes on with them, and undo brings back',
  async () => {
    const path = rowsFile(
      'one-file.jsonl',
      Array.from({ length: 20 }, (_, i) => ids(1, 10 + i, 3)),
    );
    const { id, version: added } = await client.request('datasets.add', { projectId, data: { paths: [path] } });
    const change = (change: AskedChange) => client.request('datasets.change', { id, change });
    const { version } = await change({ kind: 'split', fraction: 0.2, seed: 7 });
    expect(version).toMatchObject({ sequence: 2, parent: 1, trainRows: 16, evalRows: 4, files: added.files });
    expect(version.hash).not.toBe(added.hash);
    const seen = async (versionId: string, split: Split) => {
      const { rows } = await client.request('data.render', { model, data: { versionId }, split, offset: 0 });
      return rows.map((row) => ('input_ids' in row ? row.input_ids[1]! : 0));
    };
    const [train, held] = [await seen(version.id, 'train'), await seen(version.id, 'eval')];
    expect([train.length, held.length]).toEqual([16, 4]);
    expect([...train, ...held].toSorted()).toEqual(Array.from({ length: 20 }, (_, i) => 10 + i));

    const data = { versionId: version.id };
    const run = await ended(
      (await client.request('runs.start', { projectId, model, data, recipe: { rank: 2, maxSteps: 2 } })).id,
    );
    expect(run).toMatchObject({ state: 'done', version: 2 });
    const record = readRunRecord(run.out)!;
    expect(record).toMatchObject({
      data: { rows: 16, changes: version.changes },
      evaluation: { rows: 4, changes: version.changes },
    });
    // The loss is that of the rows that were held back: of a file with these alone it is the same.
    const alone = {
      paths: [
        rowsFile(
          'held.jsonl',
          held.map((one) => ids(1, one, 3)),
        ),
      ],
    };
    const adapter = join(run.out, 'adapter');
    const ofAlone = await client.request('evaluate.start', { model, data: alone, adapter });
    expect((await client.request('evaluate.start', { model, data, split: 'eval', adapter })).measures).toEqual(
      ofAlone.measures,
    );
    expect(run.measures.loss?.last).toBeCloseTo(ofAlone.measures.loss!.value, 5);
    // What the record says shows the rows of the run again, by files alone.
    const { paths, changes } = record.data;
    const again = await client.request('data.render', { model, data: { paths, changes: changes! }, split: 'eval', offset: 0 });
    expect(again.rows.map((row) => ('input_ids' in row ? row.input_ids[1] : 0))).toEqual(held);

    const [out, ...rest] = train;
    const without = await change({ kind: 'exclude', split: 'train', rows: [0] });
    expect(without.version).toMatchObject({ sequence: 3, parent: 2, trainRows: 15 });
    const left = [...(await seen(without.version.id, 'train')), ...(await seen(without.version.id, 'eval'))];
    expect(left).not.toContain(out);
    expect(left.toSorted()).toEqual([...rest, ...held].toSorted());
    const list = () => client.request('datasets.versions', { id });
    expect((await list()).map(({ difference }) => difference)).toEqual([
      '1 row left out',
      '4 of 20 rows held back for evaluation, seed 7',
      'As it was added',
    ]);
    expect((await client.request('datasets.undo', { id })).version).toEqual(version);
    expect((await client.request('datasets.undo', { id })).version).toEqual(added);
    expect((await client.request('datasets.list', { projectId })).find((one) => one.id === id)!.version).toEqual(added);
    await expect(client.request('datasets.undo', { id })).rejects.toThrow('has not been changed');
    // What was taken back is still there, and a change goes on from where one is.
    expect((await change({ kind: 'deduplicate' })).version).toMatchObject({
      sequence: 4,
      parent: 1,
      trainRows: 20,
      evalRows: 0,
    });
    expect((await client.request('datasets.use', { id, versionId: without.version.id })).version).toEqual(without.version);
    expect(await list()).toHaveLength(4);
    const edited = await change({ kind: 'edit', split: 'train', row: 0, value: ids(1, 9, 3) });
    const replaced = await change({ kind: 'replace', find: 'a', with: 'b' });
    expect([edited.version.sequence, replaced.version.sequence]).toEqual([5, 6]);
    expect((await seen(replaced.version.id, 'train'))[0]).toBe(9);
    expect((await list()).slice(0, 2).map(({ difference }) => difference)).toEqual([
      "'a' replaced by 'b'",
      expect.stringMatching(/^Row \d+ of one-file\.jsonl written anew$/) as unknown,
    ]);
    await expect(change({ kind: 'exclude', split: 'train', rows: [15] })).rejects.toThrow('do not exist');
    rowsFile('one-file.jsonl', [ids(1, 2, 3), ids(4, 5, 6)]);
    await expect(change({ kind: 'deduplicate' })).rejects.toMatchObject({ code: 'data-changed' });
  },
  limit,
);

test('every answer says when a file changes while its rows are looked at, and a file that is gone ends each at once', async () => {
  const path = rowsFile('open.jsonl', [ids(1, 2, 3), ids(4, 5, 6)]);
  const { version } = await client.request('datasets.add', { projectId, data: { paths: [path] } });
  const of = { model, data: { versionId: version.id }, maxLength: 64 };
  const answers = () =>
    Promise.all([
      client.request('data.rows', { ...of, offset: 0, limit: 10 }),
      client.request('data.row', { ...of, row: 0 }),
      client.request('data.find', { model, data: of.data, text: '1', from: 0 }),
      client.request('data.report', of),
    ]);
  const states = async () => {
    const all = (await answers()).map(({ stamp, changed }) => JSON.stringify({ stamp, changed }));
    expect(new Set(all).size).toBe(1);
    return JSON.parse(all[0]!) as { stamp: string; changed: string[] };
  };
  const first = await states();
  expect(first.changed).toEqual([]);
  expect(await states()).toEqual(first);

  rowsFile('open.jsonl', [ids(1, 2, 9), ids(4, 5, 6)]);
  const page = await client.request('data.rows', { ...of, offset: 0, limit: 10 });
  expect(page).toMatchObject({ changed: [path] });
  expect(page.stamp).not.toBe(first.stamp);
  expect(await states()).toEqual({ stamp: page.stamp, changed: [path] });

  // What was written again as it was is no change.
  rowsFile('open.jsonl', [ids(1, 2, 3), ids(4, 5, 6)]);
  const row = await client.request('data.row', { ...of, row: 1 });
  expect(row.changed).toEqual([]);
  expect(row.stamp).not.toBe(page.stamp);

  rmSync(path);
  for (const offset of [0, 100])
    await expect(client.request('data.rows', { ...of, offset, limit: 10 })).rejects.toMatchObject({ code: 'file-missing' });
  await expect(client.request('data.row', { ...of, row: 0 })).rejects.toMatchObject({ code: 'file-missing' });
});
