/** Parquet as pyarrow writes it (`engine/golden/make-parquet-cases.py`), and as nobody should. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { collected } from '../../../testing/collected.ts';
import { levels, type OnePage, parquetOf, plainText } from '../../../testing/parquet.ts';
import { readRecords } from '../index.ts';
import type { RecordOrProblem } from '../reader.ts';

const golden = join(import.meta.dirname, '../../../golden/parquet');
const folder = mkdtempSync(join(tmpdir(), 'lowrank-parquet-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rowsOf = (name: string) => collected(readRecords(join(golden, `${name}.parquet`)));
const valueOf = (record: RecordOrProblem) => ('value' in record ? record.value : record.problem);
const json = (name: string) => JSON.parse(readFileSync(join(golden, name), 'utf8')) as unknown[];

test.each(['plain', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4'])(
  'packed with %s: every row with its lists and objects, and from any row on',
  async (name) => {
    const path = join(golden, `${name}.parquet`);
    const hash = createHash('sha256');
    const records = await collected(readRecords(path, { hash }));
    expect(hash.digest('hex')).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
    expect(records.map(valueOf)).toEqual(json('rows.json'));
    expect(records.map(({ line }) => line)).toEqual(records.map((_, i) => i + 1));
    for (const [i, { line, at }] of records.entries())
      expect(await collected(readRecords(path, { from: { line, at } }))).toEqual(records.slice(i));
  },
);

test('every encoding of numbers and texts', async () => {
  expect((await rowsOf('encodings')).map(valueOf)).toEqual(json('encodings.json'));
});

test('types come without loss: what no number holds is text', async () => {
  expect((await rowsOf('types')).map(valueOf)).toEqual([
    {
      ...{
        date: '2026-12-01',
        ts_us: '2026-12-01T07:08:09.123456',
        ts_ns: '2025-12-01T07:08:09.123456789',
        time: '01:02:03.004',
      },
      ...{ dec: 123.45, decbig: '12345678901234567890.123456789', u64: '18446744073709551615', u32: 4294967295, i8: -128 },
      ...{ f16: 1.5, bin: { bytes: 3 }, map: { k: 1, l: null }, cat: 'x', null: null, big: 'a' },
    },
    {
      ...{ date: '1969-12-31', ts_us: '1900-01-01T00:00:00', ts_ns: '1969-12-31T23:59:59.999999999', time: '23:59:59' },
      ...{ dec: -0.01, decbig: -1.5, u64: 3, u32: 3, i8: 5, f16: -0.25, bin: 'abc', map: {}, cat: 'y', null: null, big: 'b' },
    },
  ]);
  const [typed] = (await rowsOf('typed')).map(valueOf) as Readonly<Record<string, unknown>>[];
  expect(typed).toMatchObject({ utc: '2026-12-01T07:08:09Z', zone: '2026-12-01T07:08:09Z', clock: '2026-12-01T07:08:09' });
  expect(JSON.stringify(typed)).toContain('"bytes":"AP8="');
  expect((await rowsOf('int96')).map(valueOf)).toEqual([{ t: '2026-12-01T07:08:09.123456' }]);
  expect(await rowsOf('empty')).toEqual([]);
});

describe('damage is said with file, row and column', () => {
  const changed = (name: string, change: (bytes: Buffer) => Buffer): Promise<RecordOrProblem[]> => {
    const path = join(folder, 'changed.parquet');
    writeFileSync(path, change(readFileSync(join(golden, `${name}.parquet`))));
    return collected(readRecords(path));
  };
  const refused = async (name: string, change: (bytes: Buffer) => Buffer, message: RegExp, code = 'file-damaged') => {
    await expect(changed(name, change)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as unknown });
  };

  test('a file that is cut off, and a footer that is none', async () => {
    await refused('snappy', (bytes) => bytes.subarray(0, -10), /its footer: the file does not end with 'PAR1' and is cut off/);
    await refused('snappy', (bytes) => bytes.subarray(0, 6), /its footer: the file ends before it/);
    await refused(
      'snappy',
      (bytes) => {
        bytes.writeUInt32LE(0x7fffffff, bytes.length - 8);
        return bytes;
      },
      /its footer: it is said to be longer than the file/,
    );
    await refused('snappy', (bytes) => bytes.fill(0xff, bytes.length - 200, bytes.length - 8), /its footer: /);
  });

  const made = (file: OnePage) => {
    const path = join(folder, 'made.parquet');
    writeFileSync(path, parquetOf(file));
    return collected(readRecords(path));
  };
  const two = Buffer.concat([levels(2, 1), plainText('a'), plainText('b')]);

  test('a page that unpacks to more than it says, or to gigabytes, is never unpacked', async () => {
    const sound = { page: two, unpacked: two.length, codec: 0, rows: 2 };
    expect((await made(sound)).map(valueOf)).toEqual([{ text: 'a' }, { text: 'b' }]);
    const before = process.memoryUsage().rss;
    const zeros = gzipSync(Buffer.alloc(200 << 20));
    await expect(made({ ...sound, page: zeros, unpacked: 3e9, codec: 2 })).rejects.toMatchObject({
      code: 'format-unsupported',
      message: expect.stringMatching(/row 1 \(row group 1\), column 'text': a page unpacks to 2862 MB, more than/) as unknown,
      hint: expect.stringContaining('data_page_size') as unknown,
    });
    await expect(made({ ...sound, page: zeros, unpacked: 1000, codec: 2 })).rejects.toThrow('cannot be unpacked with gzip');
    expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20);
  });

  test('runs and counts without end take neither memory nor time', async () => {
    const page = Buffer.concat([levels(2 ** 30, 0)]);
    const records = await made({ page, unpacked: page.length, codec: 0, rows: 1000 });
    expect(records.map(valueOf)).toEqual(Array.from({ length: 1000 }, () => ({ text: null })));
    await expect(made({ page, unpacked: page.length, codec: 0, rows: 2 ** 40 })).rejects.toThrow(
      /has \d+ bytes and is said to have 1099511627776 rows/,
    );
    await expect(made({ page: two, unpacked: two.length, codec: 0, rows: 5 })).rejects.toThrow(
      "row 3 (row group 1), column 'text': a page ends in the midst",
    );
    const lengths = Buffer.concat([levels(2, 1), Buffer.from([128, 1, 4, 0xff, 0xff, 0xff, 0xff, 15, 0, 0, 0, 0, 0, 0])]);
    await expect(made({ page: lengths, unpacked: lengths.length, codec: 0, rows: 2, encoding: 6 })).rejects.toThrow(
      'too many values',
    );
  });

  test('a beginning that is none, a dictionary that is missing, and two columns of one name', async () => {
    await refused('snappy', (bytes) => bytes.fill(0, 0, 4), /its footer: the file does not begin with 'PAR1'/);
    await expect(made({ page: two, unpacked: two.length, codec: 0, rows: 2, encoding: 8 })).rejects.toThrow(
      "row 1 (row group 1), column 'text': a page refers to a dictionary that is not there",
    );
    const twice = (bytes: Buffer) => {
      const footer = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
      bytes.write('text', bytes.indexOf('tags', footer));
      return bytes;
    };
    await refused('snappy', twice, /its footer: two columns are called 'text'/, 'format-unsupported');
    const encrypted = (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -4), Buffer.from('PARE')]);
    await refused('snappy', encrypted, /its footer: the file is encrypted/, 'format-unsupported');
  });

  test('bytes that a checksum does not fit', async () => {
    await expect(made({ page: two, unpacked: two.length, codec: 0, rows: 2, checksum: 1 })).rejects.toThrow(
      'not what its checksum says',
    );
  });

  test('a text that is none, and what is not read here', async () => {
    const page = Buffer.concat([levels(1, 1), plainText('a').fill(0xff, 4)]);
    await expect(made({ page, unpacked: page.length, codec: 0, rows: 1 })).rejects.toThrow(
      "a text of the column 'text' is not UTF-8",
    );
    await expect(made({ page: two, unpacked: two.length, codec: 3, rows: 2 })).rejects.toMatchObject({
      code: 'format-unsupported',
    });
    await expect(made({ page: two, unpacked: two.length, codec: 0, rows: 2, encoding: 99 })).rejects.toThrow('encoding 99');
  });
});
