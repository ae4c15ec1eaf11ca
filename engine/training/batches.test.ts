import { describe, expect, it } from 'vitest';
import { threefry } from '../random.ts';
import { prepareRows, RowOrder, totalRows, totalSteps, type TrainingRow } from './batches.ts';
import { packRows, toMicroBatch, toPackedBatch } from './micro-batch.ts';
import { longestPack } from './step-sizes.ts';

function row(index: number, ids: number[], labels: number[]): TrainingRow {
  return { index, file: 'rows.jsonl', line: index + 1, inputIds: Int32Array.from(ids), labels: Int32Array.from(labels) };
}
const rows = Array.from({ length: 10 }, (_, i) => row(i, [1, 2], [-100, 2]));
const recipe = { batchSize: 2, gradientAccumulation: 2, shuffle: true, seed: 3 };

it('draws the numbers of Threefry-2x32, 20 rounds', () => {
  // Known answers of the Random123 library
  expect(threefry([0, 0], [0, 0])).toEqual([0x6b200159, 0x99ba4efe]);
  expect(threefry([0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff])).toEqual([0x1cb996fc, 0xbb002be7]);
  expect(threefry([0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3])).toEqual([0xc4923a9c, 0x483df7a0]);
});

describe('row order', () => {
  it('takes every row once per epoch, in another order each, wrapping within a step', () => {
    const order = new RowOrder(rows, recipe);
    const taken = Array.from({ length: 5 }, (_, step) => order.stepRows(step).flat()).flat();
    const indices = taken.map((taken) => taken.index);
    expect(indices.slice(0, 10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(indices.slice(10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(indices.slice(0, 10)).not.toEqual(indices.slice(10));
    expect(order.epochsAfter(5)).toBe(2);
  });

  it('ends with the last row of its epochs, in a step that takes fewer', () => {
    const order = new RowOrder(rows, recipe, totalRows({ ...recipe, maxSteps: 0, epochs: 1 }, 10));
    expect([0, 1, 2].map((step) => order.stepRows(step).map((group) => group.length))).toEqual([[2, 2], [2, 2], [2]]);
    expect(
      [0, 1, 2]
        .flatMap((step) =>
          order
            .stepRows(step)
            .flat()
            .map(({ index }) => index),
        )
        .toSorted(),
    ).toEqual(rows.map(({ index }) => index));
    expect(order.epochsAfter(3)).toBe(1);
  });

  it('is the same whichever step is asked for first', () => {
    const forward = new RowOrder(rows, recipe);
    for (let step = 0; step < 7; step++) forward.stepRows(step);
    expect(new RowOrder(rows, recipe).stepRows(7)).toEqual(forward.stepRows(7));
  });

  it('keeps the order of the file without shuffling', () => {
    const order = new RowOrder(rows, { ...recipe, shuffle: false });
    expect(order.stepRows(2).map((group) => group.map((taken) => taken.index))).toEqual([
      [8, 9],
      [0, 1],
    ]);
  });
});

it('counts the steps of whole and of broken epochs', () => {
  const base = { maxSteps: 0, epochs: 2, batchSize: 2, gradientAccumulation: 2 };
  expect(totalSteps(base, 10)).toBe(5);
  expect(totalSteps(base, 11)).toBe(6);
  expect(totalSteps({ ...base, epochs: 0.1, batchSize: 1, gradientAccumulation: 1 }, 30)).toBe(3);
  expect(totalSteps({ ...base, epochs: 0.01 }, 10)).toBe(1);
  expect(totalSteps({ ...base, maxSteps: 4 }, 10)).toBe(4);
});

it('cuts rows at the right and leaves out those without a target then', () => {
  const prepared = prepareRows(
    [row(0, [1, 2, 3, 4], [-100, -100, 3, 4]), row(1, [1, 2, 3, 4], [1, -100, -100, 4]), row(2, [5, 6], [5, 6])],
    3,
  );
  expect(prepared.truncated).toBe(2);
  expect(prepared.withoutTarget).toBe(1);
  expect(prepared.rows.map((kept) => [kept.index, [...kept.labels]])).toEqual([
    [0, [-100, -100, 3]],
    [2, [5, 6]],
  ]);
});

it('pads to the longest row, ids with 0 and labels with -100', () => {
  const batch = toMicroBatch([row(0, [7, 8, 9], [7, 8, 9]), row(1, [5], [5])]);
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
    const packs = packRows(ofLengths(3, 4, 4, 9, 1, 1), 8);
    expect(packs.map((pack) => pack.map(({ index }) => index))).toEqual([[0, 1], [2], [3], [4, 5]]);
    expect(packRows([])).toEqual([]);
    expect([longestPack(4), longestPack(700)]).toEqual([256, 700]);
  });

  it('lays rows end to end', () => {
    const batch = toPackedBatch(ofLengths(2, 3));
    expect(batch).toMatchObject({ batch: 1, time: 5, lengths: [2, 3], packed: true });
    expect([...batch.inputIds]).toEqual([0, 0, 1, 1, 1]);
  });
});
