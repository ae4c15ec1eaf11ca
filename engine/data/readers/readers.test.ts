import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { collected } from '../../testing/collected.ts';
import { zip } from '../../testing/zip.ts';
import { dataEndings, dataFileNames, isDataFile, isDocument } from '../../data-files.ts';
import { howRead, readRecords } from './index.ts';
import type { RecordOrProblem } from './reader.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-readers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileWith(content: string | Buffer, name = 'rows.jsonl'): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const read = (content: string | Buffer, name?: string) => collected(readRecords(fileWith(content, name)));
const valueOf = (record: RecordOrProblem) => ('value' in record ? record.value : record.problem.line);
const values = async (content: string | Buffer, name?: string) => (await read(content, name)).map(valueOf);
const problems = (records: readonly RecordOrProblem[]) =>
  records.flatMap((record) => ('problem' in record ? [record.problem.message.replace(/^.*?, (?=line)/, '')] : []));

const files: Readonly<Record<string, readonly [text: string, name?: string]>> = {
  lines: ['\n  \n{"n": 1}\n\n\t{"n": 2}\r\nnot json\n\n{"n": 3}'],
  'lines in a file that is called text': ['{"n": 1}\n{"n": 2}\nnot json\n{"n": 3}\n', 'rows.txt'],
  'lines with a byte order mark': ['\ufeff{"n": 1}\n{"n": 2}\n[3]\n{"n": 3}\n'],
  'a list': ['\n[\n{"n": 1}, {"n": 2},\n nothing,\n\n{"n": 3}\n]\n', 'rows.json'],
  'a list with a byte order mark': ['\ufeff[{"n": 1},\n{"n": 2}, 7, {"n": 3}]', 'rows.json'],
  'a list in an object': [
    '{"version": "1",\n "data": [\n{"n": 1},\n{"n": 2}, 7, {"n": 3}], "more": {"a": [1]}}\n',
    'rows.json',
  ],
  'objects over several lines': ['{\n  "n": 1\n}\n{\n  "n": 2\n}\n{\n  "n" 5\n}\n{\n  "n": 3\n}\n'],
  'objects on one line': ['{"n": 1}{"n": 2} {"n" 5},{"n": 3}', 'rows.json'],
  'values between commas': ['n,t\r\n1,"a ""b"", c"\r\n2,"d\ne"\r\nonly\r\n\r\n3,x', 'rows.csv'],
  'values between semicolons': ['n;t\n1;a, b\n2;c\nonly\n3;x\n', 'rows.csv'],
  'values between tabs': ['n\tt\n1\ta, b\n2\tc\nonly\n3\tx\n', 'rows.tsv'],
};
const number = (record: RecordOrProblem) => ('value' in record ? Number(record.value['n']) : record.problem.code);

test.each(Object.entries(files))('%s: each record has its line, and reading goes on from it', async (_, [text, name]) => {
  const path = fileWith(text, name);
  const hash = createHash('sha256');
  const records = await collected(readRecords(path, { hash }));
  expect(hash.digest('hex')).toBe(createHash('sha256').update(text).digest('hex'));
  expect(records.map(number)).toEqual([1, 2, 'data-invalid', 3]);
  for (const [i, from] of records.entries()) {
    const before = Buffer.from(text).subarray(0, from.at).toString();
    expect(
      Buffer.from(text)
        .subarray(from.at, from.at + 1)
        .toString(),
      'where it begins',
    ).toMatch(/\S|\t/);
    expect(from.line).toBe(before.split('\n').length);
    expect(await collected(readRecords(path, { from }))).toEqual(records.slice(i));
  }
});

describe('JSON', () => {
  test('what follows a list is said to be no row, also where it is another list', async () => {
    for (const more of ['more', '[{"n": 2}, {"n": 3}]']) expect((await values(`[{"n": 1}]\n${more}\n`)).at(1)).toBe(2);
    const two = '{\n"train": [{"n": 1}],\n"test": [{"n": 2}]}';
    expect(await values(two, 'rows.json')).toEqual([JSON.parse(two)]);
    const long = `{"train": [{"n": "${'x'.repeat(1 << 19)}"}],\n"test": [{"n": 2}]}`;
    expect(problems(await read(long, 'rows.json'))).toEqual([
      expect.stringContaining("beside the list 'train' there is another one, 'test', which is not read"),
    ]);
  });

  test('an object is a row where its lists are those of rows', async () => {
    const row = { messages: [{ role: 'user', content: 'Hi' }], id: 1 };
    for (const text of [JSON.stringify(row), JSON.stringify(row, null, 2)])
      expect(await values(text, 'row.json')).toEqual([row]);
    expect(await values(JSON.stringify({ data: [row, row] }, null, 2), 'rows.json')).toEqual([row, row]);
    expect(await values(JSON.stringify({ info: { n: 1 }, rows: [row] }), 'rows.json')).toEqual([row]);
  });

  test('a row that is broken over several lines costs no other row', async () => {
    const text = '{\n  "n": 1,\n  "t": "never closed\n}\n{\n  "n": [2\n}\n{\n  "n": 3\n}\n';
    expect(await values(text)).toEqual([1, 5, { n: 3 }]);
  });

  test('NaN and Infinity are numbers, in texts they are text', async () => {
    const [row] = await values('{"text": "NaN, -Infinity", "score": NaN, "list": [Infinity, -Infinity, null]}');
    expect(row).toEqual({ text: 'NaN, -Infinity', score: NaN, list: [Infinity, -Infinity, null] });
  });

  test('a broken line shows what stands at the fault', async () => {
    const long = 'x'.repeat(500);
    const texts = [`{"t": "${long}", "a": "b" "here"}`, `{"t": "${long}", "a": oops, "b": 1}`, `{"t": "${long} and the end`];
    const said = problems(await read(`{"n": 1}\n${texts.join('\n')}`));
    expect(said[0]).toMatch(/^line 2: .*«…x+", "a": "b" "here"}»/);
    expect(said[1]).toMatch(/^line 3: .*«…x+", "a": oops, "b": 1}»/);
    expect(said[2]).toMatch(/^line 4: .*after «…x+ and the end»/);
    for (const message of said) expect(message.length).toBeLessThan(250);
  });
});

describe('CSV', () => {
  const rows = [
    { question: 'Hi, you', answer: 'say "hi"' },
    { question: 'two\nlines', answer: '' },
  ];
  test.each([',', ';', '\t', '|'])('the delimiter %j is found and said', async (delimiter) => {
    const text = ['question,answer', '"Hi, you","say ""hi"""', '"two\nlines",""']
      .join('\r\n')
      .replaceAll(/(?<=r|"),|(?<=question),(?=answer)|","/g, (found) => found.replace(',', delimiter));
    const written = text.replace('question,answer', `question${delimiter}answer`).replace('Hi; you', 'Hi, you');
    expect(await values(written, 'rows.csv')).toEqual(rows);
    expect(await howRead(join(folder, 'rows.csv'))).toContain(delimiter === '\t' ? 'with tabs between' : `'${delimiter}'`);
  });

  test('one column needs no delimiter, a spreadsheet may name its own, and programs leave a name empty', async () => {
    expect(await values('text\nHello, you\n"quoted, ""too"""\n', 'rows.csv')).toEqual([
      { text: 'Hello, you' },
      { text: 'quoted, "too"' },
    ]);
    expect(await values('sep=;\na;b\n1;2\n', 'rows.csv')).toEqual([{ a: '1', b: '2' }]);
    expect(await values(',a\n0,x\n', 'rows.csv')).toEqual([{ 'column 1': '0', a: 'x' }]);
    expect(await values('a,b\r1,2\r3,4', 'rows.csv')).toEqual([
      { a: '1', b: '2' },
      { a: '3', b: '4' },
    ]);
  });

  test('lists that a program wrote as JSON are lists', async () => {
    const messages = [{ role: 'user', content: 'a, "b"' }];
    const cell = JSON.stringify(messages).replaceAll('"', '""');
    expect(await values(`id,messages\n1,"${cell}"\n2,[broken\n`, 'rows.csv')).toEqual([
      { id: '1', messages },
      { id: '2', messages: '[broken' },
    ]);
  });

  test('rows with other numbers of values and quotes that do not fit are problems with their line and text', async () => {
    const text = 'a,b\n1,2\n1,2,3\nonly\n"x"y,2\ngood,row\nz,"open\ngood,too\n';
    const records = await read(text, 'rows.csv');
    expect(records.map(valueOf)).toEqual([{ a: '1', b: '2' }, 3, 4, 5, { a: 'good', b: 'row' }, 7, { a: 'good', b: 'too' }]);
    expect(problems(records)).toEqual([
      'line 3: the row has 3 values, and the first line names 2 columns: «1,2,3».',
      'line 4: the row has 1 value, and the first line names 2 columns: «only».',
      'line 5: behind the quote that closes a value stands more text: «"x"y,2».',
      'line 7: a quote is opened and never closed: «z,"open».',
    ]);
  });

  test('a quote that is open for megabytes costs its own line', async () => {
    const many = 'a,b\n'.repeat(1_500_000);
    const records = await read(`a,b\n"open,1\n${many}`, 'rows.csv');
    expect(records.length).toBe(1_500_001);
    expect(problems(records)).toEqual(['line 2: a quote is opened and never closed: «"open,1».']);
  });

  test.each([
    ['a first line that is a row', 'How are you today?,I am fine.\nx,y\n', 'looks like a row: «How are you today?,I am fine.»'],
    ['a first line of numbers', '1,text\n2,text\n', 'looks like a row'],
    ['two columns of one name', 'a,b,a\n1,2,3\n', "line 1: two columns are called 'a'"],
    ['an open quote in the first line', '"a,b\n1,2\n', 'line 1: a quote is opened in the first line and never closed: «"a,b'],
    ['a name with text behind its quote', '"a"b,c\n1,2\n', 'line 1: behind the quote that closes a name'],
    [
      'a first line without end',
      `${'a'.repeat(9)},`.repeat(40_000),
      'line 1: the first line, which is to name the columns, has',
    ],
    ['a NUL byte in the first line', 'a\0,b\n1,2\n', 'line 1: the first line has a NUL byte, at byte 1 of the file'],
    [
      'another encoding in the first line',
      Buffer.from('n\xe9,b\n1,2\n', 'latin1'),
      'line 1: the first line is not UTF-8: byte 1',
    ],
  ])('%s is refused', async (_, text, message) => {
    await expect(read(text, 'rows.csv')).rejects.toMatchObject({
      code: 'data-invalid',
      message: expect.stringContaining(message) as unknown,
    });
  });

  test('a NUL byte is a problem of its row, a first line alone one of the file, and blanks are nothing', async () => {
    const records = await read('a,b\n1,x\0y\n2,z\n', 'rows.csv');
    expect(records.map(valueOf)).toEqual([2, { a: '2', b: 'z' }]);
    expect(problems(records)).toEqual(['line 2: the row has a NUL byte, at byte 7 of the file.']);
    for (const text of ['\na,b\n', 'a,b', 'a,b\n\n\n'])
      await expect(read(text, 'rows.csv')).rejects.toMatchObject({
        code: 'data-empty',
        message: expect.stringMatching(/line \d: the first line names the columns, and no row follows: «a,b»/) as unknown,
      });
    expect(await read('\n \n', 'rows.csv')).toEqual([]);
  });

  test('a value of more than 4 MB in quotes is said to be that', async () => {
    const records = await read(`a,b\n1,"${'x'.repeat(5 << 20)}"\n2,c\n`, 'rows.csv');
    expect(records.map(valueOf)).toEqual([2, { a: '2', b: 'c' }]);
    expect(problems(records)[0]).toContain('not closed within 4 MB');
  });
});

test('what cannot be read is part of the problem, shortened', async () => {
  const textOf = async (content: string | Buffer, name?: string) =>
    (await read(content, name)).flatMap((record) => ('problem' in record ? [record.problem.text] : []));
  expect(await textOf('{"a": 1}\n{"a": tru}\n')).toEqual(['{"a": tru}']);
  expect(await textOf('a,b\n1,2,3\n', 'rows.csv')).toEqual(['1,2,3']);
  expect(await textOf(Buffer.from('caf\xe9', 'latin1'), 'rows.txt')).toEqual(['caf\ufffd']);
  const [long] = await textOf(`{"a": ${'x'.repeat(5000)}}`);
  expect(long).toMatch(/^\{"a": x{50}/);
  expect(long!.length).toBeLessThan(300);
});

describe('packed and encoded', () => {
  const text = Array.from({ length: 3000 }, (_, i) => `{"n": ${i}, "t": "é${'x'.repeat(i % 200)}"}`).join('\n');
  const utf16 = Buffer.from(`\ufeff${text}`, 'utf16le');
  const swapped = (bytes: Buffer) => Buffer.from(bytes).swap16();
  const packings: Readonly<Record<string, readonly [bytes: Buffer, name: string]>> = {
    gzip: [gzipSync(text), 'rows.jsonl.gz'],
    'gzip in two members': [Buffer.concat([gzipSync(text.slice(0, 5000)), gzipSync(text.slice(5000))]), 'rows.jsonl.gz'],
    Zstandard: [zstdCompressSync(text), 'rows.jsonl.zst'],
    'a ZIP of one': [zip({ 'rows.jsonl': Buffer.from(text) }), 'rows.zip'],
    'a ZIP with what systems add': [
      zip({ '__MACOSX/._rows.jsonl': Buffer.from('x'), 'd/rows.jsonl': Buffer.from(text), 'd/.DS_Store': Buffer.from('x') }),
      'rows.zip',
    ],
    'a ZIP beside a note': [zip({ LICENSE: Buffer.from('x'), 'rows.jsonl': Buffer.from(text) }), 'rows.zip'],
    'UTF-16': [utf16, 'rows.jsonl'],
    'UTF-16 with its bytes swapped': [swapped(utf16), 'rows.jsonl'],
    'UTF-16 without a mark': [utf16.subarray(2), 'rows.jsonl'],
    'UTF-16 with its bytes swapped, without a mark': [swapped(utf16).subarray(2), 'rows.jsonl'],
    'UTF-16 in gzip': [gzipSync(utf16), 'rows.jsonl.gz'],
  };
  test.each(Object.entries(packings))('%s is read like the file in it, and goes on from any row', async (_, [bytes, name]) => {
    const plain = await read(text);
    const path = fileWith(bytes, name);
    const hash = createHash('sha256');
    const records = await collected(readRecords(path, { hash }));
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
    const there = (some: readonly RecordOrProblem[]) => some.map((record) => ({ ...record, read: undefined }));
    expect(records.map(valueOf)).toEqual(plain.map(valueOf));
    expect(records.every(({ read: done = 0 }) => done > 0 && done <= bytes.length)).toBe(true);
    for (const i of [0, 1, 1500, 2999]) {
      const { line, at } = records[i]!;
      expect(there(await collected(readRecords(path, { from: { line, at } })))).toEqual(there(records.slice(i)));
    }
    expect(await howRead(path)).toMatch(/^JSONL, (.* )?(unpacked|decoded) /);
  });

  test('the format in a packed file is known by its own name and content', async () => {
    expect(await values(gzipSync('a,b\n1,2\n'), 'rows.csv.gz')).toEqual([{ a: '1', b: '2' }]);
    expect(await values(zip({ 'x.tsv': Buffer.from('a\tb\n1\t2\n') }), 'any.zip')).toEqual([{ a: '1', b: '2' }]);
    expect(await values(zstdCompressSync('{"data": [{"a": 1}]}'), 'x.json.zst')).toEqual([{ a: 1 }]);
  });

  test('a file that is cut off or damaged says how far it could be unpacked', async () => {
    const packed = gzipSync(
      createHash('shake256', { outputLength: 200_000 }).update('x').digest('hex').replaceAll(/.{99}/g, '{"a": 1}\n$&\n'),
    );
    await expect(read(packed.subarray(0, packed.length / 2), 'rows.jsonl.gz')).rejects.toMatchObject({
      code: 'file-damaged',
      message: expect.stringMatching(/could not be unpacked beyond byte \d+, after \d+ bytes/) as unknown,
    });
  });

  test('several files of rows, a password, and documents of an office are refused by name', async () => {
    const two = zip({ 'train.jsonl': Buffer.from('{}'), 'test.csv': Buffer.from('a') });
    await expect(read(two, 'rows.zip')).rejects.toThrow("'train.jsonl', 'test.csv'");
    await expect(read(zip({ 'a.png': Buffer.from('x'), 'b.png': Buffer.from('x') }), 'rows.zip')).rejects.toThrow(
      'without a file of rows',
    );
    await expect(read(zip({ '[Content_Types].xml': Buffer.from('x') }), 'rows.xlsx')).rejects.toThrow(
      'document of an office program',
    );
    await expect(read(gzipSync(Buffer.from('PAR1....')), 'rows.parquet.gz')).rejects.toThrow(
      'holds a file that is a Parquet file',
    );
  });

  test('another encoding is refused with its line and byte', async () => {
    const latin = Buffer.from('{"t": "a"}\n{"t": "Stra\u00dfe"}\n', 'latin1');
    expect(problems(await read(latin))).toEqual([
      expect.stringContaining('line 2: the row is not UTF-8: byte 22 of the file is 0xDF, after «{"t": "Stra»') as unknown,
    ]);
    expect(problems(await read(Buffer.from('a,b\n1,\u00e9\n', 'latin1'), 'x.csv'))[0]).toContain('byte 6 of the file is 0xE9');
    expect(problems(await read(Buffer.from('a,b\n\u00fc,1\n', 'latin1'), 'x.csv'))[0]).toMatch(
      /is 0xFC, at the start of the row/,
    );
    await expect(read(Buffer.from([0xff, 0xfe, 0, 0, 0x7b, 0, 0, 0]))).rejects.toThrow('is UTF-32');
  });

  test('what unpacks to very much is given up, in little memory', { timeout: 120_000 }, async () => {
    const before = process.memoryUsage().rss;
    await expect(read(zstdCompressSync(Buffer.alloc(600 << 20, ' ')), 'bomb.jsonl.zst')).rejects.toThrow(
      'more than 200 times its size',
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(1 << 30);
  });
});

test('a text is one row, a long one several at ends of lines', async () => {
  expect(await values('[link](there)\n\n# Title\r\n', 'a.md')).toEqual([{ text: '[link](there)\n\n# Title\r\n' }]);
  const text = `${'é'.repeat(999)}\n`.repeat(5000);
  const records = await read(text, 'book.txt');
  expect(records.map((record) => ('value' in record ? record.value['text'] : '')).join('')).toBe(text);
  expect(records.length).toBe(3);
  expect(await collected(readRecords(join(folder, 'book.txt'), { from: records[1]! }))).toEqual(records.slice(1));
  for (const braced of ['{% include "a" %}\nText.\n', '{not} JSON\n', '[1] is a note.\n'])
    expect(await values(braced, 'a.md')).toEqual([{ text: braced }]);
  expect(await values('{name};b\n1;2\n', 'a.csv')).toEqual([{ '{name}': '1', b: '2' }]);
  expect(await values(' \n', 'empty.txt')).toEqual([]);
});

test('a file is known by what it begins with; one of another kind is refused by its name', async () => {
  expect((await read('[]', 'rows.json')).length).toBe(0);
  const kinds = {
    'ARROW1\0\0': 'Arrow (Feather)',
    BZh9: 'bzip2',
    '%PDF-1.7': 'PDF',
    'SQLite format 3\0': 'SQLite',
    PARE: 'encrypted',
    'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n': 'Git LFS',
    '<!DOCTYPE html><html><body>404</body></html>': 'web page',
    '\n<HTML lang="en">': 'web page',
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>': 'XML',
    '<Error><Code>AccessDenied</Code></Error>': 'XML',
    '\x89PNG\r\n\x1a\n': 'picture',
    '\xff\xd8\xff\xe0\0\x10JFIF': 'picture',
    '\x80\x02}q\0': 'Python pickle',
    '\x93NUMPY\x01\0v\0{': 'NumPy array',
    'GGUF\x03\0\0\0': 'GGUF',
    '\xb0\x9a\x01\0\0\0\0\0{"a":{}}': 'safetensors file',
    '\x08\x07\x12\x07pytorch': 'ONNX model',
    'ORC\x0a\0\x03': 'ORC file',
    [`${'abc\x01'.repeat(1000)}`]: 'binary file',
  };
  for (const [bytes, kind] of Object.entries(kinds))
    await expect(read(Buffer.from(bytes, 'latin1'))).rejects.toMatchObject({
      code: 'data-invalid',
      message: expect.stringMatching(new RegExp(`${kind.replace(/[()]/g, '.')}.*, not ${dataFileNames}`)) as unknown,
    });
});

test('a row that gives a key twice is refused by the key, at any depth; equal keys of different objects are not', async () => {
  const twice = [
    '{"prompt":"a","prompt":"b","completion":"c"}',
    '{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b" , "content" : "c"}]}',
    '{"pr\\u006fmpt":"a","prompt":"b"}',
  ];
  const fine = [
    '{"prompt":"prompt","completion":"\\"prompt\\": \\"b\\", \\\\"}',
    '{"a":{"b":1},"b":[{"b":1},{"b":{"b":"{"}}],"c":["b","b"],"__proto__":1}',
  ];
  const found = await read([...twice, ...fine].join('\n'));
  expect(problems(found)).toEqual([
    expect.stringContaining("line 1: an object of the row has the key 'prompt' twice"),
    expect.stringContaining("line 2: an object of the row has the key 'content' twice"),
    expect.stringContaining("line 3: an object of the row has the key 'prompt' twice"),
  ]);
  expect(await read(`[${fine.join()}]`, 'fine.json')).toHaveLength(2);
});

test('a file of rows is none of these kinds, though it begins like one or has some damage', async () => {
  for (const name of ['ORCID', 'PARENT', 'BZhang', 'ID3', 'GGUF size', 'FEA1'])
    expect(await values(`${name},b\n1,2\n`, 'a.csv')).toEqual([{ [name]: '1', b: '2' }]);
  // Writing was interrupted, or one row is damaged.
  expect(problems(await read(`{"a": 1}\n${'\0'.repeat(5000)}`))).toHaveLength(1);
  expect(problems(await read('{"a": 1}\n{"a": "\0"}\n{"a": 2}\n'))).toHaveLength(1);
});

test('the one file in an archive is of rows, by its ending', async () => {
  await expect(read(zip({ 'a.png': Buffer.from('x') }), 'one.zip')).rejects.toThrow("without a file of rows: 'a.png'.");
  expect((await read(zip({ rows: Buffer.from('{"a": 1}\n') }), 'one.zip')).map(valueOf)).toEqual([{ a: 1 }]);
});

test('a row that ends too early is refused in a whole sentence, and a page of HTML may be a text', async () => {
  expect(problems(await read(Buffer.from('{"a": 1}\n{"a":\n')))[0]).toMatch(
    /the row is not JSON: it ends too early, after «\{"a":»\.$/,
  );
  expect((await read(Buffer.from('<html>a</html>'), 'page.md')).map(valueOf)).toEqual([{ text: '<html>a</html>' }]);
});

test('a path ends like data, and not like a part of a model', () => {
  for (const ending of dataEndings) expect(isDataFile(`/data/rows.${ending.toUpperCase()}`)).toBe(true);
  for (const path of [
    '/m/config.json',
    'C:\\m\\generation_config.json',
    '/m/model.safetensors.index.json',
    '/m/merges.txt',
    '/m/tokenizer.json',
    '/m/a.gguf',
    '/jsonl',
  ])
    expect(isDataFile(path), path).toBe(false);
  expect([isDocument('/a/b.MD'), isDocument('/a/b.csv'), isDocument('/m/vocab.txt')]).toEqual([true, false, false]);
});
