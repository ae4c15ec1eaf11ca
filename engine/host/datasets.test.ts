/** What is done to a data set as a whole: its name, what its columns mean, where its files lie, and copies of them. */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectHost, type HostClient } from '../rpc.ts';

const tiny = fileURLToPath(new URL('../../resources/tiny/model', import.meta.url));
const limit = 300_000;
let folder: string;
let client: HostClient;
let projectId: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-datasets-'));
  client = await connectHost(join(folder, 'studio'));
  projectId = (await client.request('projects.create', { name: 'Tests' })).id;
}, limit);
afterAll(() => {
  client.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
}, limit);

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
const csv = 'q,a,kind\nWhere?,Here.,x\nWho?,Me.,y\nWho?,Me.,y\n';
const add = (paths: readonly string[], more: object = {}) =>
  client.request('datasets.add', { projectId, data: { paths, ...more } });
const differences = async (id: string) =>
  (await client.request('datasets.versions', { id })).map(({ difference }) => difference);

test(
  'no two data sets of a project have the same name',
  async () => {
    const path = file('faq.csv', csv);
    const named = [await add([path]), await add([path]), await add([path])];
    expect(named.map(({ name }) => name)).toEqual(['faq', 'faq 2', 'faq 3']);
    const [first, second] = named;
    expect((await client.request('datasets.rename', { id: second!.id, name: ' Questions ' })).name).toBe('Questions');
    await expect(client.request('datasets.rename', { id: first!.id, name: 'Questions' })).rejects.toThrow('already');
    await expect(client.request('datasets.rename', { id: first!.id, name: ' ' })).rejects.toThrow('needs a name');
    expect((await client.request('datasets.list', { projectId })).map(({ name }) => name)).toContain('Questions');
  },
  limit,
);

test(
  'what columns mean can be changed: it makes a version, and undo brings the meaning before',
  async () => {
    const { id, version } = await add([file('map.csv', csv)], { mapping: { question: 'q', answer: 'a', system: null } });
    const mapping = { question: null, answer: { template: '{q} {a}' }, system: null };
    const mapped = await client.request('datasets.map', { id, mapping });
    expect(mapped.version).toMatchObject({ sequence: 2, parent: 1, mapping, format: 'text', files: version.files });
    expect(await client.request('datasets.map', { id, mapping })).toEqual(mapped);
    const { rows } = await client.request('data.render', {
      ...{ model: { path: tiny }, data: { versionId: mapped.version.id }, offset: 0 },
    });
    expect(rows[0]).toMatchObject({ text: expect.stringContaining('Where? Here.') as unknown });
    // A change goes on from it.
    await client.request('datasets.change', { id, change: { kind: 'balance', column: 'kind', most: 1 } });
    const none = await client.request('datasets.map', { id, mapping: null });
    expect(none.version).toMatchObject({ mapping: null, trainRows: 2 });
    expect(await differences(id)).toEqual([
      'Columns read by their names',
      "1 row left out: at most 1 with the same 'kind', seed 0",
      'Columns mapped: text={q} {a}',
      'As it was added',
    ]);
    expect((await client.request('datasets.undo', { id })).version).toMatchObject({ mapping, trainRows: 2 });
    await expect(
      client.request('datasets.map', { id, mapping: { question: 'no', answer: 'a', system: null } }),
    ).rejects.toThrow("has no column 'no'");
  },
  limit,
);

test(
  'a file that was moved is read at its new place, with all that was done to its rows',
  async () => {
    const path = file('moved.csv', csv);
    const { id } = await add([path]);
    await client.request('datasets.change', { id, change: { kind: 'exclude', split: 'train', rows: [0] } });
    mkdirSync(join(folder, 'elsewhere'));
    const to = join(folder, 'elsewhere', 'here.csv');
    renameSync(path, to);
    await expect(client.request('datasets.relocate', { id, from: join(folder, 'other.csv'), to })).rejects.toThrow(
      'is not made of',
    );
    const { version } = await client.request('datasets.relocate', { id, from: path, to });
    expect(version).toMatchObject({
      trainRows: 2,
      files: [{ path: to }],
      changes: [{ kind: 'exclude', files: [{ path: to }] }],
    });
    expect((await differences(id))[0]).toBe(`Read at another place: ${to}`);
    // What lies there is as it was, so there is nothing new.
    expect((await client.request('datasets.addVersion', { id })).version.id).toBe(version.id);
    // Another file is taken only when that is said.
    const another = file('another.csv', 'q,a,kind\nWhen?,Now.,x\n');
    const asked = { id, from: to, to: another };
    await expect(client.request('datasets.relocate', asked)).rejects.toMatchObject({
      code: 'data-changed',
      message: expect.stringMatching(/another\.csv.*1 row with it, 2 rows before\. SHA-256 .*before\.$/) as string,
    });
    expect((await client.request('datasets.list', { projectId })).find((one) => one.id === id)?.version.id).toBe(version.id);
    const taken = await client.request('datasets.relocate', { ...asked, evenIfChanged: true });
    expect(taken.version).toMatchObject({ trainRows: 1, files: [{ path: another }] });
  },
  limit,
);

test(
  'a new text in a folder is told, and the next version has it',
  async () => {
    const texts = join(folder, 'texts');
    mkdirSync(texts);
    file('texts/a.md', 'One text.');
    const { id, version } = await add([texts]);
    expect(version.files).toMatchObject([{ path: join(texts, 'a.md'), folder: texts }]);
    const check = async (versionId: string) => {
      const report = await client.request('data.report', { model: { path: tiny }, data: { versionId }, maxLength: 64 });
      return [report.rows, report.checks.find(({ name }) => name === 'new-files')?.detail] as const;
    };
    expect(await check(version.id)).toEqual([1, undefined]);
    const added = file('texts/b.md', 'Another text.');
    expect(await check(version.id)).toEqual([1, expect.stringContaining(added)]);
    // A change keeps to the files of its version.
    const changed = await client.request('datasets.change', { id, change: { kind: 'replace', find: 'One', with: 'A' } });
    expect(changed.version.files).toEqual(version.files);
    const { version: next } = await client.request('datasets.addVersion', { id });
    expect(next.files.map(({ path }) => basename(path))).toEqual(['a.md', 'b.md']);
    expect(await check(next.id)).toEqual([2, undefined]);
    // The whole folder is moved.
    renameSync(texts, join(folder, 'moved texts'));
    const moved = await client.request('datasets.relocate', { id, from: texts, to: join(folder, 'moved texts') });
    expect(moved.version).toMatchObject({ trainRows: 2, changes: next.changes });
  },
  limit,
);

test(
  'what is pasted or copied in is a file of the project, and never takes the place of another one',
  async () => {
    const keep = (kept: Parameters<typeof client.request<'datasets.keep'>>[1]) => client.request('datasets.keep', kept);
    const texts = [await keep({ projectId, text: csv, format: 'csv' }), await keep({ projectId, text: 'b', format: 'text' })];
    const [pasted, other] = texts.flatMap(({ paths }) => paths) as [string, string];
    expect([readFileSync(pasted, 'utf8'), readFileSync(other, 'utf8')]).toEqual([csv, 'b']);
    expect(pasted).toMatch(/[\\/]studio[\\/]data[\\/].*pasted.*\.csv$/);
    const again = (await keep({ projectId, text: csv, format: 'csv' })).paths[0]!;
    expect(basename(again)).toMatch(/ 2\.csv$/);

    const original = file('copied.csv', csv);
    const inside = join(folder, 'a folder');
    mkdirSync(inside);
    file('a folder/a.md', 'text');
    symlinkSync(original, join(inside, 'link.md'));
    const { paths } = await keep({ projectId, paths: [original, inside, original] });
    expect(paths.map((path) => basename(path))).toEqual(['copied.csv', 'a folder', 'copied 2.csv']);
    const { version } = await add([paths[0]!], { mapping: { question: 'q', answer: 'a', system: null } });
    rmSync(original);
    expect(version.trainRows).toBe(3);
    expect((await add([paths[1]!])).version.files).toHaveLength(1);
    expect(
      await client.request('paths.known', { paths: [pasted, original, join(folder, 'studio', 'data', '..', 'host', 'lock')] }),
    ).toEqual([pasted]);
    await expect(keep({ projectId, text: ' ', format: 'text' })).rejects.toThrow('nothing in the text');
    await expect(keep({ projectId: 'none', text: 'a', format: 'text' })).rejects.toThrow('no project');
    await expect(keep({ projectId, paths: [original] })).rejects.toMatchObject({ code: 'file-missing' });
  },
  limit,
);
