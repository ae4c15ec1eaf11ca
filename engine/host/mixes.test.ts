/** A mix of data sets as a data set: made, looked at, changed, and true when its parts change or go. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AskedPart, Dataset, Run, Split } from '../contract.ts';
import { readRunRecord } from '../jobs/run-folder.ts';
import { connectHost, type HostClient } from '../rpc.ts';

const golden = (name: string) => fileURLToPath(new URL(`../golden/llama-tied/${name}`, import.meta.url));
const limit = 300_000;
let folder: string;
let client: HostClient;
let projectId: string;
let model: { readonly id: string };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-mixes-'));
  client = await connectHost(join(folder, 'data'));
  projectId = (await client.request('projects.create', { name: 'Tests' })).id;
  model = { id: (await client.request('models.add', { projectId, path: golden('model') })).id };
}, limit);
afterAll(() => {
  client.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
}, limit);

const rows = (count: number, from: number) => Array.from({ length: count }, (_, i) => ({ input_ids: [1, 2, from + i] }));
function rowsFile(name: string, content: readonly object[]): string {
  const path = join(folder, name);
  writeFileSync(path, content.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}
const add = (name: string, content: readonly object[], evaluated: readonly object[] = []) =>
  client.request('datasets.add', {
    projectId,
    data: {
      paths: [rowsFile(`${name}.jsonl`, content)],
      evalPaths: evaluated.length === 0 ? [] : [rowsFile(`${name}-eval.jsonl`, evaluated)],
    },
  });
const part = ({ version }: Dataset, repeat: number, most?: number): AskedPart => ({
  ...{ data: { versionId: version.id }, repeat },
  ...(most !== undefined && { most }),
});
async function shown({ version }: Pick<Dataset, 'version'>, split: Split = 'train') {
  const page = { offset: 0, limit: 100, maxLength: 64, split };
  const { rows: all, total } = await client.request('data.rows', { model, data: { versionId: version.id }, ...page });
  expect(all).toHaveLength(total!);
  const rendered = await client.request('data.render', { model, data: { versionId: version.id }, split, offset: 0 });
  const ids = rendered.rows.map((row) => ('input_ids' in row ? row.input_ids.at(-1) : row.problem.code));
  return all.map(({ part: of }, i) => [of, ids[i]] as const);
}
const differences = async (id: string) =>
  (await client.request('datasets.versions', { id })).map(({ difference }) => difference);
function ended(id: string): Promise<Run> {
  return new Promise((done) => {
    const look = (run: Run) => {
      if (run.id === id && run.finishedAt !== null) done(run);
    };
    client.on('run.changed', look);
    void client.request('runs.get', { id }).then(look);
  });
}

test('a mix is a data set: its rows, its report, its changes and its versions', async () => {
  const [support, general] = [await add('support', rows(4, 10), rows(2, 30)), await add('general', rows(6, 20), rows(2, 40))];
  const mixed = await client.request('datasets.mix', {
    ...{ projectId, mix: { parts: [part(support, 2), part(general, 1, 3)], seed: 1 } },
  });
  expect(mixed).toMatchObject({ name: 'support + general', version: { trainRows: 11, evalRows: 4, sequence: 1 } });
  expect(mixed.version.files.map(({ split }) => split)).toEqual(['train', 'eval', 'train', 'eval']);
  const all = await shown(mixed);
  expect(all.slice(0, 3)).toEqual([
    ['support', 10],
    ['support', 10],
    ['support', 11],
  ]);
  expect(await shown(mixed, 'eval')).toEqual([
    ['support', 30],
    ['support', 31],
    ['general', 40],
    ['general', 41],
  ]);
  const data = { versionId: mixed.version.id };
  const report = await client.request('data.report', { model, data, maxLength: 64 });
  expect(report).toMatchObject({ rows: 11, examples: 11, tokens: 33, duplicateRows: 0, changed: [] });
  expect(report.parts).toEqual([
    { name: 'support', rows: 8, tokens: 24, trainedTokens: 16 },
    { name: 'general', rows: 3, tokens: 9, trainedTokens: 6 },
  ]);
  const cut = await client.request('data.report', { model, data, maxLength: 2 });
  expect(cut.checks.find(({ name }) => name === 'truncated')).toMatchObject({
    ...{
      count: 7,
      parts: [
        { name: 'support', rows: 4 },
        { name: 'general', rows: 3 },
      ],
    },
  });

  // A row that is left out goes with its copies; other numbers keep it out.
  const without = await client.request('datasets.change', {
    ...{ id: mixed.id, change: { kind: 'exclude', split: 'train', rows: [1] } },
  });
  expect(without.version).toMatchObject({ trainRows: 9, sequence: 2 });
  const again = { parts: [part(support, 1), part(general, 1, 3)], seed: 1 };
  const fewer = await client.request('datasets.remix', { id: mixed.id, mix: again });
  expect(fewer.version).toMatchObject({ trainRows: 6, sequence: 3 });
  expect(await shown(fewer)).not.toContainEqual(['support', 10]);
  expect(await client.request('datasets.remix', { id: mixed.id, mix: again })).toEqual(fewer);
  expect(await differences(mixed.id)).toEqual(['support ×1 instead of ×2', '1 row left out', 'As it was added']);
  expect((await client.request('datasets.undo', { id: mixed.id })).version.id).toBe(without.version.id);

  const out = join(folder, 'written.jsonl');
  expect(await client.request('data.write', { data, out })).toMatchObject({ rows: 11 });
  await expect(client.request('datasets.mix', { projectId, mix: { parts: [part(mixed, 1)], seed: 0 } })).rejects.toThrow(
    'is a mix itself',
  );
  await expect(client.request('datasets.remix', { id: support.id, mix: again })).rejects.toThrow('is no mix');
}, 300_000);

test('a part that changes on the disk is said and refused, and taken as its own new version', async () => {
  const [a, b] = [await add('first', rows(4, 10)), await add('second', rows(3, 20), rows(2, 40))];
  const mixed = await client.request('datasets.mix', {
    projectId,
    name: 'Both',
    mix: { parts: [part(a, 1), part(b, 2)], seed: 0 },
  });
  const data = { versionId: mixed.version.id };
  const recipe = { rank: 2, maxSteps: 1 };
  const run = await ended((await client.request('runs.start', { projectId, model, data, recipe })).id);
  expect(run).toMatchObject({ state: 'done', datasetName: 'Both', version: 1 });

  const path = rowsFile('first.jsonl', rows(5, 10));
  expect((await client.request('data.report', { model, data, maxLength: 64 })).changed).toEqual([path]);
  const refused = await ended((await client.request('runs.start', { projectId, model, data, recipe })).id);
  expect(refused).toMatchObject({ state: 'failed', problem: { code: 'data-changed' } });
  await expect(
    client.request('datasets.remix', { id: mixed.id, mix: { parts: [part(a, 3), part(b, 2)], seed: 0 } }),
  ).rejects.toThrow('has changed');

  const next = await client.request('datasets.addVersion', { id: mixed.id });
  expect(next.version).toMatchObject({ sequence: 2, trainRows: 11 });
  const [present] = (await client.request('datasets.list', { projectId })).filter(({ id }) => id === a.id);
  expect(present!.version.sequence).toBe(2);
  expect(next.version.mix!.parts[0]!.version).toEqual({ id: present!.version.id, sequence: 2, dataset: 'first' });
  expect((await differences(mixed.id))[0]).toBe('first at version 2 instead of 1');

  // What the run has recorded says all of its rows, also when the sets are gone.
  await client.request('datasets.remove', { id: a.id });
  rowsFile('first.jsonl', rows(4, 10));
  expect((await shown(mixed)).map(([of]) => of)).toEqual([...Array(4).fill('first'), ...Array(6).fill('second')]);
  await client.request('datasets.remove', { id: mixed.id });
  const { paths, hash: _, ...recorded } = readRunRecord(run.out).data;
  const again = { paths, mix: recorded.mix! };
  const asked = {
    parts: again.mix.parts.map(({ data: of, repeat, name }) => ({ data: of, repeat, name })),
    seed: again.mix.seed,
  };
  const view = await client.request('data.rows', { model, data: { mix: asked }, offset: 0, limit: 50, maxLength: 64 });
  expect(view.total).toBe(10);
}, 300_000);
