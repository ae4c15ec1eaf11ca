/** What is written of rows of Parquet, whose types JSON does not have. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Binary } from '../data/binary.ts';
import { hashOf } from '../data/record-hash.ts';
import type { DataAt } from '../contract.ts';
import { columnTypes, storedOf } from '../data/readers/parquet/kept-types.ts';
import { readRecords } from '../data/readers/index.ts';
import { collected } from '../testing/collected.ts';
import { silentPort } from '../testing/port.ts';
import { runWriteRows } from './write-rows.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-write-'));
afterAll(() => rmSync(work, { recursive: true }));
const plainly = { replace: false, skipBadRows: false };
const typed = join(import.meta.dirname, '../golden/parquet/typed.parquet');

test('the columns whose values are written as something else are named; bytes stay bytes in Parquet', async () => {
  const write = (out: string, paths = [typed]) =>
    runWriteRows({ kind: 'write-rows', data: { paths }, out: join(work, out), ...plainly }, silentPort);
  const times = ["'utc': timestamps, which are of UTC, are written as text", "'clock': timestamps are written as text"];
  const large = "'id': whole numbers beyond 2^53 are written as text";
  const { changed } = await write('rows.jsonl');
  expect(changed).toEqual(expect.arrayContaining([...times, large, "'bytes': bytes that are no text are written as base64"]));
  const asParquet = (await write('rows.parquet')).changed;
  expect(asParquet.filter((change) => [...times, large].includes(change) || /small|bytes/.test(change))).toEqual([]);
  const plain = join(work, 'plain.jsonl');
  writeFileSync(plain, '{"text":"a"}\n');
  expect((await write('again.jsonl', [plain])).changed).toEqual([]);
});

test('times, dates and whole numbers keep their types in Parquet, unless a row has something else by now', async () => {
  const write = async (out: string, data: DataAt) => {
    const path = join(work, out);
    const { changed } = await runWriteRows({ kind: 'write-rows', data, out: path, ...plainly }, silentPort);
    return { path, changed: changed.join(), types: await columnTypes(path) };
  };
  const rows = async (path: string) =>
    (await collected(readRecords(path))).map((record) => ('value' in record ? record.value : null));
  const copy = await write('copy.parquet', { paths: [typed] });
  const [before, after] = [await columnTypes(typed), copy.types];
  const kept = [...before].filter(([, type]) => type !== null).map(([name]) => name);
  expect(kept).toEqual(expect.arrayContaining(['id', 'utc', 'clock']));
  for (const name of kept) expect(after.get(name), name).toEqual(before.get(name));
  expect(JSON.stringify(await rows(copy.path))).toBe(JSON.stringify(await rows(typed)));
  // Written once more it is the same, from two files too.
  const twice = await write('twice.parquet', { paths: [copy.path, typed] });
  for (const name of kept) expect(twice.types.get(name), name).toEqual(before.get(name));

  const [record] = await collected(readRecords(typed));
  const value = { ...('value' in record! ? record.value : {}), utc: 'some day', id: 'x' };
  const edit = { kind: 'edit', path: typed, row: { row: 0, hash: hashOf(record!) }, value } as const;
  const edited = await write('someday.parquet', { paths: [typed], changes: [edit] });
  expect((await rows(edited.path))[0]).toMatchObject({ utc: 'some day', id: 'x' });
  expect(edited.changed).toContain("'utc': timestamps");
  expect(edited.types.get('clock')).toEqual(before.get('clock'));
});

test.each([
  ['2024-01-01T00:00:08.5', { kind: 'timestamp', perSecond: 1000, isUtc: false }, 1_704_067_208_500n],
  ['1969-12-31T23:59:59.999999999Z', { kind: 'timestamp', perSecond: 1_000_000_000, isUtc: true }, -1n],
  ['2024-01-01T00:00:08.5', { kind: 'timestamp', perSecond: 1000, isUtc: true }, null],
  ['2024-01-01T00:00:08.0001', { kind: 'timestamp', perSecond: 1000, isUtc: false }, null],
  ['2024-02-31T00:00:00', { kind: 'timestamp', perSecond: 1000, isUtc: false }, null],
  ['2400-01-01T00:00:00', { kind: 'timestamp', perSecond: 1_000_000_000, isUtc: false }, null],
  ['18446744073709551615', { kind: 'unsigned' }, -1n],
  ['18446744073709551615', { kind: 'plain' }, null],
  [-5, { kind: 'plain' }, -5n],
  [0.5, { kind: 'plain' }, null],
  [null, { kind: 'plain' }, null],
] as const)('%s is stored for %j as %s', (value, meaning, stored) =>
  expect(storedOf(value, { type: 'INT64', meaning })).toBe(stored),
);

test('bytes of a row that is edited stay the bytes, which the editor shows as base64', async () => {
  const [record] = await collected(readRecords(typed));
  const value = { ...(JSON.parse(JSON.stringify('value' in record! ? record.value : null)) as object), small: 2 };
  const edit = { kind: 'edit', path: typed, row: { row: 0, hash: hashOf(record!) }, value } as const;
  const out = join(work, 'edited.parquet');
  await runWriteRows({ kind: 'write-rows', data: { paths: [typed], changes: [edit] }, out, ...plainly }, silentPort);
  const [read] = await collected(readRecords(out));
  expect(read).toMatchObject({ value: { small: 2, id: '1152921504606846984' } });
  const { bytes } = ('value' in read! ? read.value : {}) as { bytes: Binary };
  expect(bytes).toBeInstanceOf(Binary);
  expect(bytes.content).toEqual(Buffer.from([0, 255]));
});

test.each(['jsonl', 'parquet'])(
  'rows that cannot be read are left out of %s where that is asked for, and are named',
  async (ending) => {
    const [broken, none] = [join(work, `broken-${ending}.jsonl`), join(work, `none-${ending}.jsonl`)];
    writeFileSync(broken, `{"text":"a"}\n{"text":"b\n{"text":"c"}\n[1]\n${'{\n'.repeat(30)}`);
    writeFileSync(none, '{"text":\n');
    const write = (path: string, skipBadRows: boolean, changes: DataAt['changes'] = []) => {
      const out = join(work, `read-${path === none ? 'none' : 'some'}-${changes.length}.${ending}`);
      const data = { paths: [path], changes };
      return runWriteRows({ kind: 'write-rows', data, out, replace: false, skipBadRows }, silentPort);
    };
    await expect(write(broken, false)).rejects.toMatchObject({
      message: expect.stringContaining('line 2') as string,
      hint: expect.stringContaining('With --skip-bad-rows such rows are left out.') as string,
    });
    const written = await write(broken, true);
    expect(written).toMatchObject({ rows: 2, leftOut: { rows: 32 } });
    expect(written.leftOut.reasons).toHaveLength(20);
    expect(written.leftOut.reasons.slice(0, 2)).toEqual([
      expect.stringContaining(`${broken}, line 2: `),
      expect.stringContaining(`${broken}, line 4: `),
    ]);
    const rows = await collected(readRecords(written.path));
    expect(rows.map((row) => ('value' in row ? row.value : null))).toEqual([{ text: 'a' }, { text: 'c' }]);
    const split = [{ kind: 'split', fraction: 0.5, seed: 0 }] as const;
    expect(await write(broken, true, split)).toMatchObject({ rows: 1, leftOut: { rows: 32 } });
    await expect(write(none, true)).rejects.toThrow('line 1');
  },
);

test('Parquet says which decimals and maps become JSON', async () => {
  const types = join(import.meta.dirname, '../golden/parquet/types.parquet');
  const as = async (ending: string) => {
    const out = join(work, `types.${ending}`);
    return (await runWriteRows({ kind: 'write-rows', data: { paths: [types] }, out, ...plainly }, silentPort)).changed.join();
  };
  const asParquet = await as('parquet');
  expect(asParquet).toMatch(/decimals are written as .* and as JSON where a column has both/);
  expect(asParquet).toContain('maps are written as objects, or as JSON where their keys differ');
  expect(await as('jsonl')).not.toContain('JSON');
});
