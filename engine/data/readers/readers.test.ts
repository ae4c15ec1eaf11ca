import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { collected } from '../../testing/collected.ts';
import { dataEndings, dataFileNames, isDataFile } from '../../data-files.ts';
import { readRecords } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-readers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const files: Readonly<Record<string, string>> = {
  lines: '\n  \n{"n": 1}\n\n\t{"n": 2}\r\nnot json\n\n{"n": 3}',
  'lines with a byte order mark': '\ufeff{"n": 1}\n{"n": 2}\n[3]\n{"n": 3}\n',
  'a list': '\n[\n{"n": 1}, {"n": 2},\n nothing,\n\n{"n": 3}\n]\n',
  'a list with a byte order mark': '\ufeff[{"n": 1},\n{"n": 2}, 7, {"n": 3}]',
};

function fileWith(text: string): string {
  const path = join(folder, 'rows.txt');
  writeFileSync(path, text);
  return path;
}

test.each(Object.entries(files))('%s: each record has its line, and reading goes on from it', async (_, text) => {
  const path = fileWith(text);
  const hash = createHash('sha256');
  const records = await collected(readRecords(path, { hash }));
  expect(hash.digest('hex')).toBe(createHash('sha256').update(text).digest('hex'));
  expect(records.map((record) => ('value' in record ? record.value['n'] : record.problem.code))).toEqual([
    1,
    2,
    'data-invalid',
    3,
  ]);
  for (const [i, from] of records.entries()) {
    expect(
      Buffer.from(text)
        .subarray(from.at, from.at + 1)
        .toString(),
      'where it begins',
    ).toMatch(/\S|\t/);
    const line = Buffer.from(text).subarray(0, from.at).toString().split('\n').length;
    expect(from.line).toBe(line);
    expect(await collected(readRecords(path, { from }))).toEqual(records.slice(i));
  }
});

test('what follows a list is said to be no row, also where it is another list', async () => {
  for (const more of ['more', '[{"n": 2}, {"n": 3}]']) {
    const records = await collected(readRecords(fileWith(`[{"n": 1}]\n${more}\n`)));
    expect(records.map((record) => ('value' in record ? record.value['n'] : record.problem.line))[1]).toBe(2);
  }
});

test('a file is known by what it begins with; one of another kind is refused by its name', async () => {
  expect((await collected(readRecords(fileWith('[]')))).length).toBe(0);
  await expect(collected(readRecords(fileWith('PK\x03\x04')))).rejects.toMatchObject({
    code: 'data-invalid',
    message: expect.stringContaining(`is a ZIP archive, not ${dataFileNames}`) as unknown,
  });
});

test('a path ends like data, and not like a part of a model', () => {
  for (const ending of dataEndings) expect(isDataFile(`/data/rows.${ending.toUpperCase()}`)).toBe(true);
  for (const path of [
    '/m/config.json',
    'C:\\m\\generation_config.json',
    '/m/model.safetensors.index.json',
    '/m/a.gguf',
    '/jsonl',
  ])
    expect(isDataFile(path), path).toBe(false);
});
