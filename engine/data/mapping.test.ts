import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { collected } from '../testing/collected.ts';
import type { ColumnMapping } from '../mapped-text.ts';
import { columnsOf } from './fields.ts';
import { mappingText, readMapping } from './mapping.ts';
import { readRecords } from './readers/index.ts';
import { readRows } from '../testing/read-rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-mapping-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'tickets.jsonl');
const rows = [
  { ticket: 'Where is my lamp?', note: '', reply: { intent: 'status' } },
  { ticket: 'Cancel it.', note: 'curt', reply: { intent: 'cancel' } },
  { ticket: 'No answer here.' },
];
writeFileSync(path, [...rows.map((row) => JSON.stringify(row)), '{"ticket":'].join('\n'));

test('fields of unknown names are found with an example each', async () => {
  expect(await columnsOf(path)).toEqual({
    format: null,
    reason: "'ticket' may be the question and 'reply' the answer, which a mapping has to say",
    read: 'JSONL',
    guess: { question: 'ticket', answer: 'reply', system: null },
    columns: [
      { name: 'ticket', example: 'Where is my lamp?' },
      { name: 'note', example: 'curt' },
      { name: 'reply', example: '{"intent":"status"}' },
      { name: 'reply.intent', example: 'status' },
    ],
    rows,
  });
  const known = join(folder, 'known.jsonl');
  writeFileSync(known, '{"prompt":"a","completion":"b"}\n');
  expect(await columnsOf(known)).toMatchObject({
    format: 'prompt-completion',
    reason: "there are columns 'prompt' and 'completion'",
  });
  const long = join(folder, 'long.jsonl');
  writeFileSync(long, `${JSON.stringify({ q: 'x'.repeat(10_000), a: ['y'] })}\n`.repeat(20));
  const { rows: first } = await columnsOf(long);
  expect(first).toHaveLength(5);
  expect(JSON.stringify(first).length).toBeLessThan(25_000);
});

test('a file of which no row can be read says why before it is imported', async () => {
  const none = join(folder, 'none.csv');
  for (const text of ['', 'a,b\n']) {
    writeFileSync(none, text);
    await expect(columnsOf(none)).rejects.toMatchObject({ code: 'data-empty' });
  }
  writeFileSync(none, Buffer.from('a,b\ncaf\u00e9,x\n', 'latin1'));
  await expect(columnsOf(none)).rejects.toThrow('line 2: the row is not UTF-8');
});

test('rows are read as what their fields mean, without a copy; rows that lack them are named by the checks', async () => {
  const mapping = { question: 'ticket', answer: 'reply', system: 'note' };
  const records = await collected(readRecords(path, { mapping }));
  expect(records.map((record) => ('value' in record ? record.value : record.problem.line))).toEqual([
    { system: '', instruction: 'Where is my lamp?', output: '{"intent":"status"}' },
    { system: 'curt', instruction: 'Cancel it.', output: '{"intent":"cancel"}' },
    3,
    4,
  ]);
  const read = await readRows({ paths: [path], mapping }, null, Number.MAX_SAFE_INTEGER);
  expect(read.format).toBe('alpaca');
  expect(read.rows.map((row) => ('problem' in row ? row.problem.code : 'fine'))).toEqual([
    'tokenizer-missing',
    'tokenizer-missing',
    'format-unknown',
    'data-invalid',
  ]);
  const plain = { paths: [path], mapping: { question: null, answer: 'ticket', system: null } };
  expect((await readRows(plain, null, Number.MAX_SAFE_INTEGER)).format).toBe('text');
  expect(readdirSync(folder)).not.toContain('tickets.jsonl.part');
});

test('an answer without text is named by the columns of the file', async () => {
  const empty = join(folder, 'empty.jsonl');
  writeFileSync(empty, '{"q":"a","reply":" ","note":""}\n');
  const messageOf = async (answer: ColumnMapping['answer']) => {
    const [record] = await collected(readRecords(empty, { mapping: { question: 'q', answer, system: null } }));
    return record !== undefined && 'problem' in record ? `${record.problem.code}: ${record.problem.message}` : '';
  };
  expect(await messageOf('reply')).toMatch(/^data-empty: .*line 1: 'reply' is empty\.$/);
  expect(await messageOf({ template: '{note} {reply}' })).toMatch(/: 'note', 'reply' are empty\.$/);
});

test('a text may be made of several columns, or be the same in all rows', async () => {
  const mapping = readMapping("question={ticket} ({note}), answer={{intent}}: {reply} ,system='Be kind, please.'");
  expect(mapping).toEqual({
    question: { template: '{ticket} ({note})' },
    answer: { template: '{{intent}}: {reply}' },
    system: { constant: 'Be kind, please.' },
  });
  expect(readMapping(mappingText(mapping))).toEqual(mapping);
  const [first] = await collected(readRecords(path, { mapping }));
  expect(first).toMatchObject({
    value: { system: 'Be kind, please.', instruction: 'Where is my lamp? ()', output: '{intent}: {"intent":"status"}' },
  });
  expect(readMapping('text=a=b')).toEqual({ question: null, answer: 'a=b', system: null });
});

test('a text in quotes that names a column is refused with the template that was meant', async () => {
  const written = "question='{ticket}: {note}',answer=reply";
  await expect(collected(readRecords(path, { mapping: readMapping(written) }))).rejects.toMatchObject({
    message: expect.stringContaining("The text for 'question' has '{ticket}' in it") as string,
    hint: expect.stringContaining('without quotes: question={ticket}: {note}.') as string,
  });
  const mapping = readMapping(written.replaceAll("'", ''));
  expect((await collected(readRecords(path, { mapping })))[1]).toMatchObject({ value: { instruction: 'Cancel it.: curt' } });
  // What is no column may stand in braces, and doubled ones stand for themselves in a template.
  const literal = readMapping("question=ticket,answer=reply,system='Write {name}.'");
  expect((await collected(readRecords(path, { mapping: literal })))[0]).toMatchObject({ value: { system: 'Write {name}.' } });
  const braces = readMapping('question={{ticket}} {ticket},answer=reply');
  expect((await collected(readRecords(path, { mapping: braces })))[1]).toMatchObject({
    value: { instruction: '{ticket} Cancel it.' },
  });
  expect(() => readMapping('question')).toThrow(
    expect.objectContaining({ hint: expect.stringContaining('is {column} and {other}, and') as string }),
  );
  const unquoted = readMapping('question=ticket,answer=reply,system=Be kind');
  await expect(collected(readRecords(path, { mapping: unquoted }))).rejects.toMatchObject({
    message: expect.stringContaining("has no column 'Be kind'") as string,
    hint: expect.stringContaining('put a text for all rows in quotes') as string,
  });
});

test('what is within a column has a name of its own, unless a column is called so', async () => {
  const nested = join(folder, 'nested.jsonl');
  const row = { 'ask.plain': 'whole', ask: { plain: 'within', parts: [{ text: 'first' }] }, meta: { answer: 'yes' } };
  writeFileSync(nested, `${JSON.stringify(row)}\n{"ask": {}, "meta": {}}\n`);
  const mapping = readMapping('question={ask.plain} {ask.parts.0.text},answer=meta.answer,system=meta.toString');
  await expect(collected(readRecords(nested, { mapping }))).rejects.toThrow("has no column 'meta.toString'");
  const records = await collected(readRecords(nested, { mapping: { ...mapping, system: null } }));
  expect(records.map((record) => ('value' in record ? record.value : record.problem.message))).toEqual([
    { instruction: 'whole first', output: 'yes' },
    expect.stringContaining("the row has no 'ask.plain'") as unknown,
  ]);
  expect((await columnsOf(nested)).guess.answer).toBe('meta.answer');
});

test('an entry of a list is named by its number, from the end with a minus', async () => {
  const listed = join(folder, 'listed.jsonl');
  const rows = [{ turns: [{ text: 'first' }, { text: 'last' }], 'a[0]': 'named so', a: ['in it'] }, { turns: [] }];
  writeFileSync(listed, rows.map((row) => JSON.stringify(row)).join('\n'));
  const mapping = readMapping('question=turns[0].text,answer={turns[-1].text} {a[0]} {turns.0.text}');
  const records = await collected(readRecords(listed, { mapping }));
  expect(records.map((record) => ('value' in record ? record.value : record.problem.message))).toEqual([
    { instruction: 'first', output: 'last named so first' },
    expect.stringContaining("the row has no 'turns[0].text'") as unknown,
  ]);
  for (const wrong of ['turns[x]', 'turns[0', 'turns.length', 'turns[0]text'])
    await expect(collected(readRecords(listed, { mapping: readMapping(`text=${wrong}`) }))).rejects.toThrow('has no column');
});

test.each([
  'question=a',
  'answer=b',
  'quest=a,answer=b',
  'question=,answer=b',
  'text=a,answer=b',
  'question=a,question=b,answer=c',
  '',
])('what --map says is refused where it is not whole: %j', (written) => expect(() => readMapping(written)).toThrow(/^--map /));

test('a column that no row has is refused with those there are, and NaN where it is used', async () => {
  const mapping = { question: 'tickt', answer: 'reply', system: null };
  await expect(collected(readRecords(path, { mapping }))).rejects.toMatchObject({
    message: expect.stringMatching(/has no column 'tickt', .*'ticket', 'note', 'reply'\./) as unknown,
    hint: "Did you mean 'ticket'?",
  });
  const system = { question: 'ticket', answer: 'reply', system: 'nots' };
  await expect(collected(readRecords(path, { mapping: system }))).rejects.toThrow("has no column 'nots'");
  const numbers = join(folder, 'numbers.jsonl');
  writeFileSync(numbers, '{"q": "a", "a": {"n": NaN}, "score": NaN}\n{"q": "b", "a": "c", "score": NaN}\n');
  const records = await collected(readRecords(numbers, { mapping: { question: 'q', answer: 'a', system: null } }));
  expect(records.map((record) => ('problem' in record ? record.problem.message : record.value))).toEqual([
    expect.stringContaining("line 1: the row has 'a' with NaN or Infinity") as unknown,
    { instruction: 'b', output: 'c' },
  ]);
});
