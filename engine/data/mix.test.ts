/** A mix has the rows of its parts as each has them alone, as often as its numbers say, for whoever reads them. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DataChange, Mix, MixPart, Split } from '../contract.ts';
import { openModel } from '../models/open.ts';
import { openRows } from './open-rows.ts';
import { rowFiles } from './row-files.ts';
import { RowStore } from './row-store.ts';
import type { RowCache, RowOrProblem, TokenRow } from './row.ts';
import { openTokenizer } from './tokenizer.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-mix-'));
afterAll(() => rmSync(work, { recursive: true }));
const { tokenizerSource } = openModel(join(import.meta.dirname, '../../resources/tiny/model'));
const tokenizer = openTokenizer(tokenizerSource!);
/** More than the model has, so that a row can say which one it is. */
const vocabularySize = 5000;
let written = 0;

function rowsFile(rows: readonly object[], ending = 'jsonl'): string {
  const path = join(work, `rows-${written++}.${ending}`);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}
const many = (count: number, from = 0) => Array.from({ length: count }, (_, i) => ({ input_ids: [1, from + i] }));
const part = (path: string, repeat: number, more: Partial<MixPart> = {}): MixPart => ({
  ...{ name: path, data: { paths: [path] }, repeat },
  ...more,
});
const mixOf = (...parts: readonly MixPart[]): Mix => ({ parts, seed: 7 });

interface Asked {
  readonly changes?: readonly DataChange[];
  readonly split?: Split;
  readonly cache?: RowCache | null;
}
function open(mix: Mix, { changes = [], split = 'train', cache = null }: Asked = {}) {
  const paths = mix.parts.flatMap(({ data }) => data.paths);
  return openRows(rowFiles({ data: { paths, mix, changes }, split }), tokenizer, vocabularySize, {}, cache);
}
async function read(mix: Mix, asked: Asked = {}): Promise<RowOrProblem[]> {
  const rows: RowOrProblem[] = [];
  const source = open(mix, asked);
  await source.read((examples) => rows.push(...examples));
  expect(source.total).toBe(rows.length);
  expect(rows.map(({ index }) => index)).toEqual(rows.map((_, i) => i));
  return rows;
}
const idOf = (row: RowOrProblem) => ('inputIds' in row ? row.inputIds[1]! : -1);
const ids = (rows: readonly RowOrProblem[]) => rows.map(idOf);
const counts = (rows: readonly RowOrProblem[]) => [...Map.groupBy(ids(rows), (id) => id).values()].map((same) => same.length);
const distinct = (rows: readonly RowOrProblem[]) => new Set(ids(rows)).size;

test('ids and labels of each part are those of the part alone, each with its own mapping and changes', async () => {
  const chats = rowsFile([
    {
      messages: [
        { role: 'user', content: 'Two lamps' },
        { role: 'assistant', content: '{"quantity": 2}' },
      ],
    },
    {
      messages: [
        { role: 'user', content: 'One rug' },
        { role: 'assistant', content: '{"quantity": 1}' },
      ],
    },
  ]);
  const table = rowsFile([
    { q: 'Which?', a: 'This one' },
    { q: 'When?', a: 'Now' },
  ]);
  const mapping = { question: 'q', answer: 'a', system: null };
  const changes: DataChange[] = [{ kind: 'replace', find: 'Now', with: 'Later' }];
  const alone = async (data: MixPart['data']) => {
    const rows: TokenRow[] = [];
    const source = openRows(rowFiles({ data }), tokenizer, vocabularySize);
    await source.read((examples) => rows.push(...(examples as TokenRow[])));
    return rows.map(({ inputIds, labels, line, file }) => ({ inputIds, labels, line, file }));
  };
  const data = { paths: [table], mapping, changes };
  const mixed = await read(mixOf(part(chats, 1), part(table, 1, { data })));
  expect(
    mixed.map((row) => ({
      ...('inputIds' in row && { inputIds: row.inputIds, labels: row.labels }),
      line: row.line,
      file: row.file,
    })),
  ).toEqual([...(await alone({ paths: [chats] })), ...(await alone(data))]);
  expect(mixed.map(({ mixPart }) => mixPart)).toEqual([0, 0, 1, 1]);
});

test('rows are there as often as is asked, whichever way they are read', async () => {
  const [a, b, c] = [rowsFile(many(10)), rowsFile(many(20, 100)), rowsFile(many(2000, 1000))];
  const mix = mixOf(part(a, 2.5), part(b, 0.3), part(c, 1, { most: 15 }));
  const rows = await read(mix);
  const of = (number: number) => rows.filter(({ mixPart }) => mixPart === number);
  expect([of(0), of(1), of(2)].map((own) => own.length)).toEqual([25, 6, 15]);
  // Each of ten rows twice, and five of them a third time; no row of the others twice.
  expect(counts(of(0)).toSorted()).toEqual([2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
  expect([distinct(of(1)), distinct(of(2))]).toEqual([6, 15]);
  // Copies follow one another and say which they are.
  expect(
    of(0)
      .slice(0, 2)
      .map(({ copy, line }) => [copy, line]),
  ).toEqual([
    [0, 1],
    [1, 1],
  ]);
  // More than there are rows: evenly, then the rest.
  const capped = await read(mixOf(part(a, 5, { most: 12 })));
  expect([capped.length, distinct(capped), Math.max(...counts(capped))]).toEqual([12, 10, 2]);
  expect(await read(mixOf(part(a, 0.001)))).toHaveLength(1);

  const folder = join(work, 'tokens');
  const cache = { folder, decidedBy: 'a test' };
  for (const times of [1, 2]) expect(await read(mix, { cache }), `time ${times}`).toEqual(rows);
  // The large one, of which a few rows are wanted, is not made into tokens as a whole.
  expect(readdirSync(folder)).toHaveLength(2);
  const source = open(mix);
  const offsets = [0, 20, 24, 40, 5];
  for (const offset of offsets) expect(ids(await source.page(offset, 10))).toEqual(ids(rows.slice(offset, offset + 10)));
  expect(await source.page(rows.length, 10)).toEqual([]);
  const whole: RowOrProblem[] = [];
  await open(mix).readWhole((examples) => whole.push(...examples));
  expect(ids(whole)).toEqual(ids(rows));
  // The tokens of a repeated row are held once.
  const store = new RowStore();
  for (const row of rows) store.add(row as TokenRow);
  expect(store.rows[0]!.inputIds.byteOffset).toBe(store.rows[1]!.inputIds.byteOffset);
  expect(store.rows.map(({ inputIds, labels }) => [...inputIds, ...labels])).toEqual(
    rows.map((row) => 'inputIds' in row && [...row.inputIds, ...row.labels]),
  );
});

test('which rows are drawn follows from their content and the seed, and not from where they are', async () => {
  const rows = many(100);
  const drawn = async (content: readonly object[], seed = 7) =>
    ids(await read({ parts: [part(rowsFile(content), 0.3)], seed })).toSorted();
  const first = await drawn(rows);
  expect(first).toHaveLength(30);
  expect(await drawn(rows.toReversed())).toEqual(first);
  expect(await drawn(rows, 8)).not.toEqual(first);
  // Of a set that grows most rows are drawn again.
  const grown = await drawn([...rows, ...many(10, 500)]);
  expect(grown).toHaveLength(33);
  expect(first.filter((id) => grown.includes(id)).length).toBeGreaterThan(25);
});

test('changes of a part come first, and those of the mix hold for all of its parts', async () => {
  const [a, b] = [rowsFile([...many(4), { input_ids: [1, 50] }]), rowsFile([...many(4, 50), ...many(6, 60)])];
  const half: DataChange = { kind: 'split', fraction: 0.5, seed: 1 };
  const own = await read(mixOf(part(a, 2), part(b, 1, { data: { paths: [b], changes: [half] } })));
  const held = await read(mixOf(part(a, 2), part(b, 1, { data: { paths: [b], changes: [half] } })), { split: 'eval' });
  // The side of the part that is trained on; what it holds back is evaluated, once.
  expect(own.filter(({ mixPart }) => mixPart === 1)).toHaveLength(5);
  expect(held.map(({ mixPart }) => mixPart)).toEqual([1, 1, 1, 1, 1]);

  const mix = mixOf(part(a, 2), part(b, 1));
  // Row 50 is in both: it stays in the first.
  const deduplicated = await read(mix, { changes: [{ kind: 'deduplicate' }] });
  expect(ids(deduplicated).filter((id) => id === 50)).toEqual([50, 50]);
  expect(deduplicated).toHaveLength(10 + 9);
  const split: DataChange[] = [{ kind: 'deduplicate' }, { kind: 'split', fraction: 0.4, seed: 3 }];
  const [train, evaluated] = [await read(mix, { changes: split }), await read(mix, { changes: split, split: 'eval' })];
  expect(distinct(evaluated)).toBe(evaluated.length);
  expect(evaluated).toHaveLength(6);
  expect(distinct(train)).toBe(14 - 6);
  expect(ids(train).filter((id) => ids(evaluated).includes(id))).toEqual([]);
  // A part with rows to evaluate on keeps those, and only the others are held back from.
  const evalFile = rowsFile(many(3, 80));
  const withEval = mixOf(part(a, 1, { data: { paths: [a], evalPaths: [evalFile] } }), part(b, 1));
  const of = { changes: [half] };
  expect((await read(withEval, of)).filter(({ mixPart }) => mixPart === 0)).toHaveLength(5);
  const evaluation = await read(withEval, { ...of, split: 'eval' });
  expect(evaluation.map(({ mixPart }) => mixPart)).toEqual([0, 0, 0, 1, 1, 1, 1, 1]);
  expect(() => rowFiles({ data: { paths: [a], mix: mixOf(withEval.parts[0]!), changes: [half] } })).toThrow('already');
});

test('a part with 0 is only evaluated', async () => {
  const [a, b, evalFile] = [rowsFile(many(4)), rowsFile(many(4, 50)), rowsFile(many(3, 80))];
  const mix = mixOf(part(a, 1), part(b, 0, { data: { paths: [b], evalPaths: [evalFile] } }));
  expect(ids(await read(mix))).toEqual([0, 1, 2, 3]);
  const evaluated = await read(mix, { split: 'eval' });
  expect(ids(evaluated)).toEqual([80, 81, 82]);
  expect(evaluated.map(({ mixPart }) => mixPart)).toEqual([1, 1, 1]);
});
