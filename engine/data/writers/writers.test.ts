/** Rows that are written and read again: the same rows, in Parquet too. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { AtomicFile } from '../../formats/files.ts';
import { collected } from '../../testing/collected.ts';
import { Binary } from '../binary.ts';
import { readRecords } from '../readers/index.ts';
import { requireWritable, writerOf } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-writers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Row = Readonly<Record<string, unknown>>;

function write(name: string, rows: readonly Row[]): string {
  const path = join(folder, name);
  const file = new AtomicFile(path);
  try {
    const writer = writerOf(file);
    for (const row of rows) writer.look?.(row);
    for (const row of rows) writer.write(row);
    writer.end();
    file.finish();
  } finally {
    file.abort();
  }
  return path;
}
async function written(rows: readonly Row[]): Promise<unknown[]> {
  const records = await collected(readRecords(write('rows.parquet', rows)));
  return records.map((record) => ('value' in record ? record.value : record.problem));
}

describe('Parquet', () => {
  test('conversations with calls of tools come back as they were', async () => {
    const call = (name: string, given: Row) => ({ id: 'a', type: 'function', function: { name, arguments: given } });
    const tools = [
      {
        type: 'function',
        function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
      },
      {
        type: 'function',
        function: { name: 'sum', parameters: { type: 'object', properties: { a: {}, b: {} }, required: ['a'] } },
      },
    ];
    const none = { tool_calls: null, weight: null };
    const rows = [
      {
        messages: [
          { role: 'user', content: 'Kraków 🌧?', ...none },
          {
            role: 'assistant',
            content: null,
            tool_calls: [call('weather', { city: 'Kraków' }), call('sum', { a: 1, b: [] })],
            weight: 1,
          },
          { role: 'assistant', content: '', tool_calls: [], weight: 0 },
        ],
        tools,
      },
      { messages: [{ role: 'user', content: 'Hi', ...none }], tools: null },
      { messages: [], tools: [] },
    ];
    expect(await written(rows)).toEqual(rows);
  });

  test('a column has the type of its values; what has no one type is the same value again', async () => {
    const rows = [
      { n: 1, x: 1, b: true, t: 'ä', none: null, mixed: 1, lists: [[1], [], null, [2, 3]], o: { a: 1, b: null }, u: [{}] },
      { n: -(2 ** 53) + 1, x: 0.5, b: false, t: '', none: null, mixed: 'a', lists: [], o: { a: null, b: 'c' }, u: [{ a: 1 }] },
      { n: null, x: -0, b: null, t: null, none: null, mixed: [null, { d: 1.5 }], lists: null, o: null, u: null },
      { n: 7, x: 1e300, b: true, t: '\0"\n', none: null, mixed: true, lists: [[4]], o: { a: 2, b: 'd' }, u: [{ b: ['x'] }] },
    ];
    expect(await written(rows)).toEqual(rows);
    expect(await written([{ t: 'half of \ud800' }, { t: 'a' }])).toEqual([{ t: 'half of \ud800' }, { t: 'a' }]);
    expect(await written([{ a: 1 }, { b: 2 }])).toEqual([
      { a: 1, b: null },
      { a: null, b: 2 },
    ]);
    const deep = { d: Array.from({ length: 40 }).reduce<unknown>((inner) => [{ a: inner }], 1) };
    expect(await written([deep])).toEqual([deep]);
  });

  test('bytes are written as they are, also beside bytes that are text, and as base64 in JSON Lines', async () => {
    const rows = [
      { b: new Binary(Buffer.from([0, 255])), l: [new Binary(Buffer.from([128])), 'text'] },
      { b: 'text', l: [] },
    ];
    const read = (await written(rows)) as { b: Binary; l: Binary[] }[];
    expect(JSON.stringify(read)).toBe('[{"b":"AP8=","l":["gA==","text"]},{"b":"text","l":[]}]');
    expect(read[0]!.b.content).toEqual(Buffer.from([0, 255]));
    expect(readFileSync(write('bytes.jsonl', rows), 'utf8')).toContain('{"b":"AP8=","l":["gA==","text"]}\n');
  });

  test('many rows lie in several row groups and pages', async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => ({
      id: i,
      text: String(i).repeat(5000),
      list: i % 3 === 0 ? null : Array.from({ length: i % 7 }, (_, j) => j),
    }));
    const read = await collected(readRecords(write('many.parquet', rows)));
    expect(read.map((record) => ('value' in record ? record.value : record.problem))).toEqual(rows);
    expect(read.at(-1)!.where).toMatch(/^row 3000 \(row group [2-9]\)$/);
  });

  test('rows without any field, or with more fields than a table has, are refused', () => {
    expect(() => write('none.parquet', [{}])).toThrow('Parquet has columns');
    const keys = Array.from({ length: 1001 }, (_, i) => ({ [`k${i}`]: i }));
    expect(() => write('wide.parquet', keys)).toThrow('more than 1000 different fields');
    expect(readdirSync(folder).filter((name) => /none|wide/.test(name))).toEqual([]);
  });
});

test('other names are JSON Lines, and a format that is not written is refused', () => {
  expect(readFileSync(write('rows', [{ a: 1 }, { a: 'b' }]), 'utf8')).toBe('{"a":1}\n{"a":"b"}\n');
  for (const name of ['rows.csv', 'rows.json', 'rows.jsonl.gz'])
    expect(() => requireWritable(name)).toThrow('JSONL or Parquet');
  for (const name of ['rows.jsonl', 'rows.parquet', 'rows.ndjson', 'rows']) requireWritable(name);
});
