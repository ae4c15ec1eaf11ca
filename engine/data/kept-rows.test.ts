/** What is kept comes back as it was, or is not taken: whatever has happened to the file. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { mountSmallDisk, unmountSmallDisk } from '../testing/small-disk.ts';
import { type KeptRow, KeptRowsWriter, readKeptPlaces, readKeptRows } from './kept-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-kept-rows-'));
const disk = join(folder, 'disk');
const isMounted = mountSmallDisk(disk, 4);
afterAll(() => {
  if (isMounted) expect(unmountSmallDisk(disk)).toBe(true);
  rmSync(folder, { recursive: true });
});
const path = join(folder, 'tokens', 'key');
const ids = (...values: number[]) => Int32Array.from(values);

/** Rows of every kind that there is or may come to be. */
const rows: readonly (KeptRow & { readonly file: number })[] = [
  { file: 0, line: 1, at: 0, made: [{ inputIds: ids(1, 2, 3), labels: ids(-100, 2, 3) }] },
  { file: 0, line: 7, at: 2 ** 33, made: [{ problem: { code: 'data-invalid', message: 'No “row”.', hint: '', line: 7 } }] },
  {
    ...{ file: 0, line: 8, at: 2 ** 33 + 9 },
    made: [
      { turn: 1, leftOut: [{ message: 1, role: 'system' }], inputIds: ids(5, 6), labels: ids(-100, 6) },
      { turn: 2, specialTokensInText: ['<|end|>'], inputIds: ids(5, 6, 7, 8), labels: ids(-100, 6, -100, 8) },
    ],
  },
  // Labels that are other tokens than the row's own, and a row without any.
  {
    file: 1,
    line: 1,
    at: 0,
    made: [
      { inputIds: ids(1, 2, 3), labels: ids(9, -100, 4) },
      { inputIds: ids(), labels: ids() },
    ],
  },
  {
    ...{ file: 1, line: 2, at: 30 },
    made: [
      {
        weight: 0.5,
        chosen: { inputIds: ids(1, 2), labels: ids(-100, 2) },
        rejected: { inputIds: ids(1, 3), labels: ids(-100, 3) },
      },
    ],
  },
  ...Array.from({ length: 600 }, (_, i) => {
    const inputIds = Int32Array.from({ length: i % 300 }, (_, t) => i + t);
    const labels = inputIds.map((id, t) => (t % 7 < i % 5 ? id : -100));
    return { file: 2, line: i + 1, at: 100 * i, made: [{ inputIds, labels }] };
  }),
];
const end = { format: 'messages', unused: [{ name: 'id', rows: 3 }] };

function write(key = 'key', at = path): void {
  const writer = new KeptRowsWriter(at, key);
  for (const { file, ...row } of rows) writer.add(file, row);
  writer.finish(end);
  expect(writer.failure).toBeNull();
}

async function read(key = 'key'): Promise<{ found: unknown[]; end: object | null }> {
  const found: unknown[] = [];
  const end = await readKeptRows(
    path,
    key,
    async ({ file, rows }) => void found.push(...rows.map((row) => ({ file, ...row }))),
  );
  return { found, end };
}

test('rows of all kinds come back in their order, with what is known of all of them', async () => {
  write();
  expect(await read()).toEqual({ found: rows, end });
  expect(readdirSync(join(folder, 'tokens'))).toEqual(['key']);
});

test('what was cut or damaged anywhere is noticed where it is, and the file is removed', async () => {
  write();
  const whole = readFileSync(path);
  const places = [
    0,
    3,
    7,
    8,
    40,
    41,
    44,
    whole.length - 1,
    ...Array.from({ length: 12 }, (_, i) => Math.floor((i * whole.length) / 12)),
  ];
  for (const place of places)
    for (const damage of ['cut', 'flip', 'longer'] as const) {
      if (damage === 'flip') {
        const damaged = Buffer.from(whole);
        damaged[place]! ^= 1 << (place % 8);
        writeFileSync(path, damaged);
      } else {
        writeFileSync(path, damage === 'cut' ? whole : Buffer.concat([whole, whole.subarray(0, place + 1)]));
        if (damage === 'cut') truncateSync(path, place);
      }
      const { found, end } = await read();
      expect(end, `${damage} at ${place}`).toBeNull();
      expect(found).toEqual(rows.slice(0, found.length));
      expect(existsSync(path)).toBe(false);
    }
});

test('where groups begin in the data is read from the end alone, and from nothing that is damaged there', async () => {
  write();
  const places = (await readKeptPlaces(path, 'key'))!;
  expect(places.length).toBeGreaterThan(3);
  for (const { row, ...place } of places) expect(rows[row]).toMatchObject(place);
  // The first row of each file is among them, and no gap is longer than a group.
  expect(places.map(({ row }) => row)).toEqual(expect.arrayContaining([0, 3, 5]));
  const gaps = [...places.slice(1).map(({ row }) => row), rows.length].map((row, i) => row - places[i]!.row);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(512);
  expect(await readKeptPlaces(path, 'another')).toBeNull();
  const whole = readFileSync(path);
  for (const place of [1, 4, 10, 13, 40, 100]) {
    const damaged = Buffer.from(whole);
    damaged[whole.length - place]! ^= 4;
    writeFileSync(path, damaged);
    expect(await readKeptPlaces(path, 'key'), `${place} from the end`).toBeNull();
    writeFileSync(path, whole.subarray(0, -place));
    expect(await readKeptPlaces(path, 'key'), `${place} shorter`).toBeNull();
  }
  rmSync(path);
  expect(await readKeptPlaces(path, 'key')).toBeNull();
});

test('a file is not taken for that of another key', async () => {
  write('another', join(folder, 'tokens', 'another'));
  renameSync(join(folder, 'tokens', 'another'), path);
  expect(await read()).toEqual({ found: [], end: null });
});

test('what a writer leaves that does not finish is no kept file', async () => {
  for (const leave of [() => {}, (writer: KeptRowsWriter) => writer.abort()]) {
    const writer = new KeptRowsWriter(path, 'key');
    for (const { file, ...row } of rows) writer.add(file, row);
    leave(writer);
    expect(await read()).toEqual({ found: [], end: null });
  }
});

test('where nothing can be written that is said, and no more', () => {
  writeFileSync(join(folder, 'file'), '');
  const writer = new KeptRowsWriter(join(folder, 'file', 'tokens', 'key'), 'key');
  for (const { file, ...row } of rows) writer.add(file, row);
  writer.finish(end);
  writer.abort();
  expect(writer.failure).toMatch(/cannot be written$/);
});

test.skipIf(!isMounted)('a disk with little room is not filled, and that is said', () => {
  const writer = new KeptRowsWriter(join(disk, 'tokens', 'key'), 'key');
  for (const { file, ...row } of rows) writer.add(file, row);
  writer.finish(end);
  expect(writer.failure).toBe(`less than 1 GB would be left on the disk of '${join(disk, 'tokens')}'`);
  expect(readdirSync(join(disk, 'tokens'))).toEqual([]);
});

test('numbers that would not come back are refused', () => {
  const writer = new KeptRowsWriter(path, 'key');
  expect(() => writer.add(0, { line: 1, at: 0, made: [{ weights: new Float32Array(2) }] })).toThrow('ids and labels');
  writer.abort();
});
