import { describe, expect, it } from 'vitest';
import { microBatches, packsOf, toPackedBatch, toPaddedBatch } from './micro-batch.ts';
import { longestPack } from './step-sizes.ts';

function row(index: number, ids: number[], labels: number[]) {
  return { index, file: 'rows.jsonl', line: index + 1, inputIds: Int32Array.from(ids), labels: Int32Array.from(labels) };
}

it('pads to the longest row, ids with 0 and labels with -100', () => {
  const batch = toPaddedBatch([row(0, [7, 8, 9], [7, 8, 9]), row(1, [5], [5])]);
  expect(batch).toEqual({
    inputIds: Int32Array.of(7, 8, 9, 5, 0, 0),
    labels: Int32Array.of(7, 8, 9, 5, -100, -100),
    batch: 2,
    time: 3,
    lengths: [3, 1],
  });
});

describe('packing', () => {
  const ofLengths = (...lengths: number[]) =>
    lengths.map((length, i) => row(i, Array<number>(length).fill(i), Array<number>(length).fill(i)));

  it('keeps the order and never exceeds the capacity, but for a row that is longer alone', () => {
    const packs = [...packsOf(ofLengths(3, 4, 4, 9, 1, 1), 8)];
    expect(packs.map((pack) => pack.map(({ index }) => index))).toEqual([[0, 1], [2], [3], [4, 5]]);
    expect([...packsOf([])]).toEqual([]);
    expect([longestPack(4), longestPack(700)]).toEqual([256, 700]);
  });

  it('lays rows end to end', () => {
    const batch = toPackedBatch(ofLengths(2, 3));
    expect(batch).toMatchObject({ batch: 1, time: 5, lengths: [2, 3], packed: true });
    expect([...batch.inputIds]).toEqual([0, 0, 1, 1, 1]);
  });
});

it('takes rows as many together as a batch has, the rest at the end', () => {
  const rows = [0, 1, 2, 3, 4].map((index) => row(index, [1, 2], [1, 2]));
  const groups = [...microBatches(rows, { packing: false, batchSize: 2 })];
  expect(groups.map((group) => group.map(({ index }) => index))).toEqual([[0, 1], [2, 3], [4]]);
});
