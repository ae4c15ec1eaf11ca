/** What a person does to rows holds for every reader of them: pages, checks, runs and evaluations see the same rows. */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import type { DataChange, Split } from '../contract.ts';
import { chooseRows, withRowsRelocated, sourceRows } from './changes.ts';
import { rewriteOf, rewritings } from './rewriting.ts';
import { rowFiles } from './row-files.ts';
import type { RowCache, RowOrProblem } from './row.ts';
import { RowSource } from './rows.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-changes-'));
afterAll(() => rmSync(work, { recursive: true }));
let written = 0;

function rowsFile(rows: readonly object[]): string {
  const path = join(work, `rows-${written++}.jsonl`);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path;
}
const row = (...input_ids: number[]) => ({ input_ids });
const ids = (rows: readonly RowOrProblem[]) => rows.map((one) => ('inputIds' in one ? one.inputIds[1]! : one.problem.code));
const many = (count: number, from = 0) => Array.from({ length: count }, (_, i) => row(1, from + i));
const split = (fraction: number, seed = 7, by?: string): DataChange => ({
  ...{ kind: 'split', fraction, seed },
  ...(by === undefined ? {} : { by }),
});

async function read(
  paths: readonly string[],
  changes: readonly DataChange[],
  of: Split = 'train',
  cache: RowCache | null = null,
): Promise<RowOrProblem[]> {
  const source = new RowSource(rowFiles({ data: { paths, changes }, split: of }), null, 5000, {}, cache);
  const rows: RowOrProblem[] = [];
  await source.read((examples) => rows.push(...examples));
  expect(source.total).toBe(rows.length);
  return rows;
}

test('the sides of a split have no row in common and all rows together, whoever reads them', async () => {
  const [a, b] = [rowsFile(many(200)), rowsFile(many(100, 1000))];
  const changes = [split(0.1)];
  const [train, held] = [await read([a, b], changes), await read([a, b], changes, 'eval')];
  expect([train.length, held.length]).toEqual([270, 30]);
  expect(ids([...train, ...held]).toSorted()).toEqual(ids(await read([a, b], [])).toSorted());
  // Numbered among themselves, and named by the file and line where a person finds them.
  expect(held.map(({ index }) => index)).toEqual(held.map((_, i) => i));
  for (const { file, line, ...one } of held)
    expect('inputIds' in one && one.inputIds[1]).toBe(file === a ? line - 1 : 1000 + line - 1);

  // With tokens kept by either side, and page by page.
  const cache = { folder: join(work, 'tokens'), decidedBy: 'a test' };
  for (const times of [1, 2]) {
    expect(await read([a, b], changes, 'train', cache), `time ${times}`).toEqual(train);
    expect(await read([a, b], changes, 'eval', cache), `time ${times}`).toEqual(held);
  }
  for (const [of, all] of [
    ['train', train],
    ['eval', held],
  ] as const) {
    const source = new RowSource(rowFiles({ data: { paths: [a, b], changes }, split: of }), null, 5000);
    const offsets = [...all.keys()].filter((i) => i % 10 === 0);
    // Also from the end to the beginning: a page does not depend on those before.
    for (const offset of [...offsets, ...offsets.toReversed()])
      expect(ids(await source.page(offset, 10))).toEqual(ids(all.slice(offset, offset + 10)));
    expect(await source.page(all.length, 10)).toEqual([]);
    const whole: RowOrProblem[] = [];
    await source.readWhole((examples) => whole.push(...examples));
    expect(ids(whole)).toEqual(ids(all));
  }
});

test('a split follows from the content and the seed: not from places, and rows that are the same stay together', async () => {
  const rows = many(100);
  const held = async (content: readonly object[], change: DataChange) =>
    ids(await read([rowsFile(content)], [change], 'eval')).toSorted();
  const first = await held(rows, split(0.2));
  expect(first).toHaveLength(20);
  expect(await held(rows.toReversed(), split(0.2))).toEqual(first);
  expect(await held(rows, split(0.2, 8))).not.toEqual(first);
  // Every row twice: both are on the same side.
  const twice = await held([...rows, ...rows], split(0.2));
  expect(twice).toEqual([...first, ...first].toSorted());

  const byCustomer = rows.map((one, i) => ({ ...one, customer: `c${i % 10}` }));
  const customers = async (of: Split) => {
    const found = await read([rowsFile(byCustomer)], [split(0.2, 7, 'customer')], of);
    return new Set(ids(found).map((id) => (id as number) % 10));
  };
  const [train, evaluated] = [await customers('train'), await customers('eval')];
  expect([train.size, evaluated.size]).toEqual([8, 2]);
  expect([...train].filter((one) => evaluated.has(one))).toEqual([]);
});

test('each side has rows, or the split is refused with its reason', async () => {
  const path = rowsFile(many(3));
  for (const fraction of [0.0001, 0.9999])
    for (const of of ['train', 'eval'] as const)
      expect((await read([path], [split(fraction)], of)).length, `${fraction} ${of}`).toBeGreaterThan(0);
  // One group has nearly everything: no more is held back than was asked for.
  const lopsided = rowsFile([
    ...many(90).map((one) => ({ ...one, from: 'a' })),
    ...many(10, 90).map((one) => ({ ...one, from: 'b' })),
  ]);
  expect(await read([lopsided], [split(0.1, 0, 'from')], 'eval')).toHaveLength(10);
  for (const [rows, change, reason] of [
    [many(1), split(0.5), 'there is one alone'],
    [[row(1, 2), row(1, 2)], split(0.5), 'all 2 are the same'],
    [many(3), split(0.5, 0, 'customer'), "has a column 'customer'"],
    [many(3).map((one) => ({ ...one, id: 1 })), split(0.5, 0, 'id'), 'it is the same in all of them'],
  ] as const)
    await expect(read([rowsFile(rows)], [change], 'eval')).rejects.toThrow(reason);
  await expect(async () => rowFiles({ data: { paths: [path], evalPaths: [path], changes: [split(0.5)] } })).rejects.toThrow(
    'already',
  );
});

test('a row that cannot be read is trained on or left out, and never hidden among the rows held back', async () => {
  const path = rowsFile(many(9));
  appendFileSync(path, '{"input_ids": [1, 2\n');
  for (const seed of [0, 1, 2, 3]) {
    expect(ids(await read([path], [split(0.3, seed)], 'eval')).filter((id) => typeof id === 'string')).toEqual([]);
    expect(ids(await read([path], [split(0.3, seed)])).at(-1)).toBe('data-invalid');
  }
  const exclude: DataChange = { kind: 'exclude', files: await sourceRows([path], new Set([9]), () => {}) };
  expect(ids(await read([path], [exclude]))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test('rows that were left out stay out of every side, and no other row is taken for them', async () => {
  const path = rowsFile(many(10));
  const files = await sourceRows([path], new Set([2, 5]), () => {});
  const exclude: DataChange = { kind: 'exclude', files };
  expect(ids(await read([path], [exclude]))).toEqual([0, 1, 3, 4, 6, 7, 8, 9]);
  const both = [exclude, split(0.25)];
  expect(ids([...(await read([path], both)), ...(await read([path], both, 'eval'))]).toSorted()).toEqual([
    0, 1, 3, 4, 6, 7, 8, 9,
  ]);
  // The file gets a row at its beginning: row 2 is another one by then.
  writeFileSync(path, [row(1, 99), ...many(10)].map((one) => JSON.stringify(one)).join('\n'));
  expect(await read([path], [exclude])).toHaveLength(11);
  const all = { kind: 'exclude', files: await sourceRows([path], new Set([...Array(11).keys()]), () => {}) } as const;
  await expect(read([path], [all])).rejects.toThrow('all 11 are left out');
});

test('of rows that are the same the first one stays', async () => {
  const path = rowsFile([row(1, 2), row(1, 3), row(1, 2), row(1, 4), row(1, 3), row(1, 2)]);
  const { count } = await chooseRows({ paths: [path], split: 'train', changes: [{ kind: 'deduplicate' }] });
  expect(count).toBe(3);
  expect((await read([path], [{ kind: 'deduplicate' }])).map(({ line }) => line)).toEqual([1, 2, 4]);
});

test('of rows with the same value in a column so many stay, the first of them without a seed', async () => {
  const of = (kind: string | null, id: number) => ({ ...row(1, id), meta: { kind } });
  const path = rowsFile([
    of('a', 1),
    of('a', 2),
    of('b', 3),
    of('a', 4),
    of(null, 5),
    of(null, 6),
    of(null, 7),
    of('b', 8),
    row(1, 9),
  ]);
  const balance = (most: number): DataChange => ({ kind: 'balance', column: 'meta.kind', most });
  const lines = async (changes: readonly DataChange[]) => (await read([path], changes)).map(({ line }) => line);
  // What has no value is of no group.
  expect(await lines([balance(2)])).toEqual([1, 2, 3, 5, 6, 7, 8, 9]);
  expect(await lines([balance(1)])).toEqual([1, 3, 5, 6, 7, 9]);
  // A row that is left out before does not count, and what is written anew does.
  const [first] = (await sourceRows([path], new Set([0]), () => {}))[0]!.rows;
  expect(await lines([{ kind: 'exclude', files: [{ path, rows: [first!] }] }, balance(1)])).toEqual([2, 3, 5, 6, 7, 9]);
  expect(await lines([{ kind: 'replace', find: 'b', with: 'a' }, balance(1)])).toEqual([1, 5, 6, 7, 9]);
});

test('of rows with the same value in a column a seed draws those that stay, from the whole file', async () => {
  const path = rowsFile(Array.from({ length: 200 }, (_, i) => ({ ...row(1, i), kind: i % 4 === 0 ? 'rare' : 'common' })));
  const balance = (seed: number): DataChange => ({ kind: 'balance', column: 'kind', most: 30, seed });
  const lines = async (changes: readonly DataChange[]) => (await read([path], changes)).map(({ line }) => line);
  const [kept, again, other] = [await lines([balance(1)]), await lines([balance(1)]), await lines([balance(2)])];
  expect(again).toEqual(kept);
  expect(other).not.toEqual(kept);
  for (const some of [kept, other]) {
    const [rare, common] = [some.filter((line) => line % 4 === 1), some.filter((line) => line % 4 !== 1)];
    expect([rare.length, common.length]).toEqual([30, 30]);
    for (const half of [rare, common]) {
      const late = half.filter((line) => line > 100).length;
      expect(late).toBeGreaterThan(5);
      expect(late).toBeLessThan(25);
    }
  }
  // A row that is left out before is not drawn.
  const twice = rowsFile([...Array(6).keys()].flatMap((i) => [row(1, i % 3), row(2, i)]).map((one) => ({ ...one, kind: 'a' })));
  expect(await read([twice], [{ kind: 'deduplicate' }, { ...balance(1), most: 8 } as DataChange])).toHaveLength(8);
});

test('rows that are written anew are read so by everybody, and only these rows', async () => {
  const [a, b] = [rowsFile(many(40)), rowsFile(many(40))];
  appendFileSync(b, '{"input_ids": [1, 2\n');
  const named = async (path: string, number: number) => (await sourceRows([path], new Set([number]), () => {}))[0]!.rows[0]!;
  const edits: DataChange[] = [
    { kind: 'edit', path: b, row: await named(b, 35), value: row(1, 4000) },
    { kind: 'edit', path: b, row: await named(b, 40), value: row(1, 4001) },
    // A row that is another one by now.
    { kind: 'edit', path: a, row: { row: 3, hash: '0123456789abcdef' }, value: row(1, 4002) },
  ];
  const expected = [...Array(40).keys(), ...[...Array(40).keys()].map((i) => (i === 35 ? 4000 : i)), 4001];
  const cache = { folder: join(work, 'edited'), decidedBy: 'a test' };
  // Tokens of the rows as they were are kept, and not taken for those of the rows as they are.
  expect(ids(await read([a, b], [], 'train', cache))[75]).toBe(35);
  for (const kept of [cache, cache, null]) expect(ids(await read([a, b], edits, 'train', kept))).toEqual(expected);
  const source = new RowSource(rowFiles({ data: { paths: [a, b], changes: edits } }), null, 5000);
  for (const offset of [70, 80, 75, 0, 35])
    expect(ids(await source.page(offset, 3))).toEqual(expected.slice(offset, offset + 3));
  // A row that is the same as another one by now is there twice.
  const twice: DataChange = { kind: 'edit', path: a, row: await named(a, 3), value: row(1, 2) };
  expect(ids(await read([a], [twice, { kind: 'deduplicate' }]))).toEqual(expected.slice(0, 40).filter((id) => id !== 3));
  const without: DataChange = { kind: 'exclude', files: [{ path: a, rows: [await named(a, 0)] }] };
  expect(ids(await read([a], [without, twice, { kind: 'deduplicate' }]))).not.toContain(3);
  // A row stays on its side of a split, whatever is written in it.
  const sides = async (changes: readonly DataChange[]) => (await read([a], changes, 'eval')).map(({ line }) => line);
  expect(await sides([twice, split(0.2)])).toEqual(await sides([split(0.2)]));
});

test('a text is replaced wherever it is, or in a column alone, and never in the name of a field', async () => {
  const text = { text: 'a $& cat', note: ['a cat'], cat: { deep: 'cat' } };
  const records = async (change: DataChange) => {
    const { rewrite } = rewriteOf(rewritings([change]), 'any');
    return rewrite!({ line: 1, at: 0, bytes: 1, value: text });
  };
  expect(await records({ kind: 'replace', find: 'cat', with: '$& dog' })).toMatchObject({
    value: { text: 'a $& $& dog', note: ['a $& dog'], cat: { deep: '$& dog' } },
  });
  expect(await records({ kind: 'replace', find: 'cat', with: 'dog', column: 'note' })).toMatchObject({
    value: { ...text, note: ['a dog'] },
  });
});

test('rows that are meant are found again in files that have changed, each once, and what is gone is dropped', async () => {
  const path = rowsFile([...many(5), row(1, 2)]);
  const exclude = async (...rows: number[]): Promise<DataChange> => ({
    ...{ kind: 'exclude', files: await sourceRows([path], new Set(rows), () => {}) },
  });
  const changes = [await exclude(2, 4), split(0.5), await exclude(0)];
  expect(await withRowsRelocated(changes, [path], () => {})).toEqual(changes);
  // One more row at the beginning, and the last two are gone: row 2 has moved, and row 4 is not there any more.
  writeFileSync(path, [row(1, 99), ...many(4)].map((one) => JSON.stringify(one)).join('\n'));
  const again = await withRowsRelocated(changes, [path], () => {});
  expect(ids([...(await read([path], again)), ...(await read([path], again, 'eval'))]).toSorted()).toEqual([1, 3, 99]);
  writeFileSync(path, JSON.stringify(row(1, 3)));
  expect(await withRowsRelocated(changes, [path], () => {})).toEqual([split(0.5)]);
});

test('rows of a table and of a packed file are split by a column too', async () => {
  const lines = ['question,answer,customer', ...[...Array(40).keys()].map((i) => `"q, ${i}",a,c${i % 8}`)].join('\n');
  const [table, packed] = [join(work, 'table.csv'), join(work, 'table.csv.gz')];
  writeFileSync(table, lines);
  writeFileSync(packed, gzipSync(lines));
  const sides = (path: string, of: Split) => chooseRows({ paths: [path], split: of, changes: [split(0.25, 3, 'customer')] });
  const held = await sides(table, 'eval');
  expect([(await sides(table, 'train')).count, held.count]).toEqual([30, 10]);
  const again = await sides(packed, 'eval');
  for (let i = 0; i < 10; i++) expect(again.rowOf(i)).toBe(held.rowOf(i));
});
