/** What is written of rows of Parquet, whose types JSON does not have. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Binary } from '../data/binary.ts';
import { hashOf } from '../data/record-hash.ts';
import { readRecords } from '../data/readers/index.ts';
import { collected } from '../testing/collected.ts';
import { silentPort } from '../testing/port.ts';
import { runWriteRows } from './write-rows.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-write-'));
afterAll(() => rmSync(work, { recursive: true }));
const typed = join(import.meta.dirname, '../golden/parquet/typed.parquet');

test('the columns whose values are written as something else are named; bytes stay bytes in Parquet', async () => {
  const write = (out: string, paths = [typed]) =>
    runWriteRows({ kind: 'write-rows', data: { paths }, out: join(work, out), replace: false }, silentPort);
  const times = ["'utc': timestamps, which are of UTC, are written as text", "'clock': timestamps are written as text"];
  const { changed } = await write('rows.parquet');
  expect(changed).toEqual(expect.arrayContaining([...times, "'id': whole numbers beyond 2^53 are written as text"]));
  expect(changed.filter((change) => /small|bytes/.test(change))).toEqual([]);
  expect((await write('rows.jsonl')).changed).toContain("'bytes': bytes that are no text are written as base64");
  const plain = join(work, 'plain.jsonl');
  writeFileSync(plain, '{"text":"a"}\n');
  expect((await write('again.jsonl', [plain])).changed).toEqual([]);
});

test('bytes of a row that is edited stay the bytes, which the editor shows as base64', async () => {
  const [record] = await collected(readRecords(typed));
  const value = { ...(JSON.parse(JSON.stringify('value' in record! ? record.value : null)) as object), small: 2 };
  const edit = { kind: 'edit', path: typed, row: { row: 0, hash: hashOf(record!) }, value } as const;
  const out = join(work, 'edited.parquet');
  await runWriteRows({ kind: 'write-rows', data: { paths: [typed], changes: [edit] }, out, replace: false }, silentPort);
  const [read] = await collected(readRecords(out));
  expect(read).toMatchObject({ value: { small: 2, id: '1152921504606846984' } });
  const { bytes } = ('value' in read! ? read.value : {}) as { bytes: Binary };
  expect(bytes).toBeInstanceOf(Binary);
  expect(bytes.content).toEqual(Buffer.from([0, 255]));
});
