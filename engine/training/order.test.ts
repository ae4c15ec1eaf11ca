import { describe, expect, it } from 'vitest';
import type { Example } from './examples.ts';
import { ExampleOrder, totalExamples, totalSteps } from './order.ts';

const examples: readonly Example[] = Array.from({ length: 10 }, (_, index) => ({
  ...{ index, file: 'rows.jsonl', line: index + 1 },
  sequences: [{ inputIds: Int32Array.of(1, 2), labels: Int32Array.of(-100, 2), part: 'whole' }],
}));
const recipe = { batchSize: 2, gradientAccumulation: 2, shuffle: true, seed: 3 };

describe('the order of examples', () => {
  it('takes every example once per epoch, in another order each, wrapping within a step', () => {
    const order = new ExampleOrder(examples, recipe);
    const taken = Array.from({ length: 5 }, (_, step) => order.examplesOf(step)).flat();
    const indices = taken.map((taken) => taken.index);
    expect(indices.slice(0, 10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(indices.slice(10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(indices.slice(0, 10)).not.toEqual(indices.slice(10));
    expect(order.epochsAfter(5)).toBe(2);
  });

  it('ends with the last example of its epochs, in a step that takes fewer', () => {
    const order = new ExampleOrder(examples, recipe, totalExamples({ ...recipe, maxSteps: 0, epochs: 1 }, 10));
    const steps = [0, 1, 2].map((step) => order.examplesOf(step));
    expect(steps.map((taken) => taken.length)).toEqual([4, 4, 2]);
    const indices = steps.flat().map(({ index }) => index);
    expect(indices.toSorted((a, b) => a - b)).toEqual(examples.map(({ index }) => index));
    expect(order.epochsAfter(3)).toBe(1);
  });

  it('is the same whichever step is asked for first', () => {
    const forward = new ExampleOrder(examples, recipe);
    for (let step = 0; step < 7; step++) forward.examplesOf(step);
    expect(new ExampleOrder(examples, recipe).examplesOf(7)).toEqual(forward.examplesOf(7));
  });

  it('keeps the order of the file without shuffling', () => {
    const order = new ExampleOrder(examples, { ...recipe, shuffle: false });
    expect(order.examplesOf(2).map(({ index }) => index)).toEqual([8, 9, 0, 1]);
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
