import { expect, test } from 'vitest';
import { mixMethods } from '../../../engine/mix-methods.ts';
import { difference, methodDetail, methodNames, usualRank, whyNot, whyUnused } from './mix-text.ts';

test('only the sum is said to be what answers now', () => {
  expect(methodNames.filter((method) => difference(method, 2).includes('exactly'))).toEqual(['cat']);
  // Of one adapter the factors have one product.
  expect(methodNames.filter((method) => difference(method, 1).includes('exactly'))).toEqual(['linear', 'cat']);
  expect(difference('ties', 2)).toBe(
    'What answers now is the sum of the changes; this method keeps only the largest values of each adapter, takes for each value the sign of the majority and the mean of those that have it and adds A to A and B to B, which is not the sum of their products, so its answers differ.',
  );
  expect(new Set(methodNames.map(methodDetail)).size).toBe(methodNames.length);
});

test('a setting is offered where it counts, and only there', () => {
  const counts = (setting: 'density' | 'majoritySign' | 'seed') =>
    methodNames.filter((method) => whyUnused(method, setting) === null);
  expect(counts('density')).toEqual(methodNames.filter((method) => mixMethods[method].prune !== null));
  expect(counts('majoritySign')).toEqual(['ties', 'ties-svd', 'dare-ties', 'dare-ties-svd']);
  expect(counts('seed')).toEqual(['dare-linear', 'dare-linear-svd', 'dare-ties', 'dare-ties-svd']);
});

test('ranks that a method cannot mix are known before it is asked', () => {
  expect(methodNames.filter((method) => whyNot(method, [4, 8]) !== null)).toEqual(
    methodNames.filter((method) => mixMethods[method].of === 'factors'),
  );
  expect(methodNames.filter((method) => whyNot(method, [8, 8]) !== null)).toEqual([]);
  expect(['cat', 'svd', 'linear'].map((method) => usualRank(method as 'cat', [8, 8]))).toEqual(['16', '8', '8']);
});
