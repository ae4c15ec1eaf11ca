import { expect, test } from 'vitest';
import { RowStore } from './row-store.ts';
import type { TokenRow } from './row.ts';

const row = (inputIds: Int32Array, labels: Int32Array, index = 0): TokenRow => ({
  ...{
    index,
    mixPart: 0,
    copy: 0,
    file: 'rows.jsonl',
    line: index + 1,
    turn: null,
    withoutStopToken: [],
    messages: null,
    text: '',
  },
  ...{ leftOut: [], specialTokensInText: [], asks: [], skippedTurns: 0, dropped: 0, isDocument: false, said: null },
  ...{ inputIds, labels },
});
const ids = (...values: number[]) => Int32Array.from(values);

test('rows come back as they were, whichever tokens are trained', () => {
  const labels = [
    ids(1, 2, 3, 4),
    ids(-100, -100, -100, -100),
    ids(-100, 2, 3, -100),
    ids(1, -100, 3, -100),
    ids(-100, 2, -100, 4),
    // Labels that are other tokens than the row's own.
    ids(2, 3, 4, -100),
    ids(1, 2, 9, 4),
  ];
  const store = new RowStore();
  for (const [i, each] of labels.entries()) store.add(row(ids(1, 2, 3, 4), each, i));
  store.add(row(ids(), ids()));
  store.add(row(ids(7), ids(-100)));
  expect(store.rows.map((stored) => stored.labels)).toEqual([...labels, ids(), ids(-100)]);
  expect(store.rows.slice(0, labels.length).every((stored) => `${stored.inputIds}` === '1,2,3,4')).toBe(true);
  expect(store.rows[8]!.inputIds).toEqual(ids(7));
  expect(store.rows[3]).toMatchObject({ index: 3, line: 4, file: 'rows.jsonl' });
});

test('longer rows are cut at the right', () => {
  const store = new RowStore(3);
  store.add(row(ids(1, 2, 3, 4), ids(-100, 2, 3, 4)));
  store.add(row(ids(1, 2, 3), ids(1, 2, 3)));
  store.add(row(ids(1, 2, 3, 4), ids(-100, -100, -100, 4)));
  expect(store.rows.map((stored) => [stored.inputIds, stored.labels])).toEqual([
    [ids(1, 2, 3), ids(-100, 2, 3)],
    [ids(1, 2, 3), ids(1, 2, 3)],
    [ids(1, 2, 3), ids(-100, -100, -100)],
  ]);
});

test('what is cut off and what labels repeat takes no memory', () => {
  const taken = (work: () => unknown): number => {
    const before = process.memoryUsage().arrayBuffers;
    const kept = work();
    return kept === null ? 0 : process.memoryUsage().arrayBuffers - before;
  };
  const long = Int32Array.from({ length: 100_000 }, (_, t) => t);
  const store = new RowStore(512);
  expect(taken(() => (Array.from({ length: 500 }, (_, i) => store.add(row(long, long, i))), store))).toBeLessThan(6e6);
  const whole = new RowStore();
  // Forty million bytes of ids, and as many again if each token had a label of its own.
  expect(taken(() => (Array.from({ length: 100 }, (_, i) => whole.add(row(long, long, i))), whole))).toBeLessThan(50e6);
});

test('documents may be kept longer than other rows', () => {
  const store = new RowStore(2, 4);
  store.add(row(ids(1, 2, 3, 4, 5), ids(1, 2, 3, 4, 5)));
  store.add({ ...row(ids(1, 2, 3, 4, 5), ids(1, 2, 3, 4, 5)), isDocument: true });
  expect(store.rows.map(({ inputIds, isDocument }) => [inputIds.length, isDocument])).toEqual([
    [2, false],
    [4, true],
  ]);
});
