import { expect, it } from 'vitest';
import { prepareExamples } from './examples.ts';

function row(index: number, ids: number[], labels: number[]) {
  return { index, file: 'rows.jsonl', line: index + 1, inputIds: Int32Array.from(ids), labels: Int32Array.from(labels) };
}

it('cuts rows at the right and leaves out those without a target then', () => {
  const prepared = prepareExamples(
    [row(0, [1, 2, 3, 4], [-100, -100, 3, 4]), row(1, [1, 2, 3, 4], [1, -100, -100, 4]), row(2, [5, 6], [5, 6])],
    3,
  );
  expect(prepared.truncated).toBe(2);
  expect(prepared.withoutTarget).toBe(1);
  expect(prepared.examples.map(({ index, sequences }) => [index, ...sequences.map(({ labels }) => [...labels])])).toEqual([
    [0, [-100, -100, 3]],
    [2, [5, 6]],
  ]);
});
