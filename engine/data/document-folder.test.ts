import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runScan } from '../jobs/scan.ts';
import { silentPort } from '../testing/port.ts';
import { documentsIn, folderSentence } from './document-folder.ts';
import { columnsOf } from './fields.ts';
import { howFilesAreRead } from './how-read.ts';
import { rowFiles } from './row-files.ts';
import { readRows } from '../testing/read-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-documents-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, 'sub'));
writeFileSync(join(folder, 'b.txt'), 'The second text.');
writeFileSync(join(folder, 'a.md'), '# The first\n');
writeFileSync(join(folder, 'sub/c.TXT'), 'The third.');
for (const name of ['.hidden.txt', 'picture.png', 'other.png', 'package.json', 'LICENSE'])
  writeFileSync(join(folder, name), '{}');
symlinkSync('/etc/passwd', join(folder, 'linked.txt'));

test('the texts of a folder are rows, and what is left out is counted', async () => {
  const files = rowFiles({ data: { paths: [folder] } });
  const paths = ['a.md', 'b.txt', 'sub/c.TXT'].map((name) => join(folder, name));
  expect(files.paths).toEqual(paths);
  expect(await howFilesAreRead(files)).toEqual([
    `The folder ${folder}: 3 texts, left out are 2 .png, 1 hidden, 1 without an ending, 1 a link, 1 .json`,
  ]);
  expect(folderSentence(documentsIn(join(folder, 'sub')))).toMatch(/: 1 text, nothing is left out$/);
  const { format, rows } = await readRows(files, null, 10);
  expect([format, rows.length]).toEqual(['text', 3]);
  const scan = await runScan({ kind: 'scan', data: { paths: [folder] } }, silentPort);
  expect(scan).toMatchObject({ format: 'text', trainRows: 3 });
  expect(scan.files.map(({ path }) => path)).toEqual(paths);
});

test('a text without a word is left out by its name', async () => {
  const texts = mkdtempSync(join(folder, 'texts-'));
  writeFileSync(join(texts, 'a.md'), '');
  writeFileSync(join(texts, 'b.txt'), ' \n');
  expect(() => documentsIn(texts)).toThrow('has no text (.txt, .md) in it that is not empty');
  writeFileSync(join(texts, 'c.txt'), 'A text.');
  expect(folderSentence(documentsIn(texts))).toMatch(/: 1 text, left out are 2 empty \('a\.md', 'b\.txt'\)$/);
  expect((await columnsOf(documentsIn(texts).files[0]!)).rows).toEqual([{ text: 'A text.' }]);
  rmSync(texts, { recursive: true });
});

test('a folder without texts, and one with files of rows, is refused', () => {
  const rows = join(folder, 'sub/train.parquet');
  const empty = mkdtempSync(join(folder, 'empty-'));
  expect(() => documentsIn(empty)).toThrow('has no text (.txt, .md) in it');
  writeFileSync(rows, '');
  expect(() => documentsIn(folder)).toThrow(`has 1 file of rows: '${rows}'`);
});
