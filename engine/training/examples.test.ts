import { expect, it } from 'vitest';
import { prepareExamples } from './examples.ts';

function row(index: number, ids: number[], labels: number[]) {
  return { index, file: 'rows.jsonl', line: index + 1, inputIds: Int32Array.from(ids), labels: Int32Array.from(labels) };
}

it('cuts rows at the right and leaves out those without a target then', async () => {
  const prepared = await prepareExamples(
    [row(0, [1, 2, 3, 4], [-100, -100, 3, 4]), row(1, [1, 2, 3, 4], [1, -100, -100, 4]), row(2, [5, 6], [5, 6])],
    3,
    () => Promise.resolve(),
  );
  expect(prepared.truncated).toBe(2);
  expect(prepared.withoutTarget).toBe(1);
  expect(prepared.examples.map(({ index, sequences }) => [index, ...sequences.map(({ labels }) => [...labels])])).toEqual([
    [0, [-100, -100, 3]],
    [2, [5, 6]],
  ]);
});

it('counts a conversation that is several examples as one where that is wanted', async () => {
  const rows = [row(0, [1, 2], [-100, 2]), row(0, [1, 3], [-100, 3]), row(1, [1, 2], [-100, 2]), row(0, [1, 4], [-100, -100])];
  const weights = async (turnWeight: 'turn' | 'conversation') =>
    (await prepareExamples(rows, 9, () => Promise.resolve(), { turnWeight })).examples.map(({ weight }) => weight);
  expect(await weights('turn')).toEqual([1, 1, 1]);
  expect(await weights('conversation')).toEqual([0.5, 0.5, 1]);
});

it('goes through many rows in turns, and a stop ends it between two', async () => {
  const many = Array.from({ length: 1000 }, (_, i) => row(i, [1, 2], [-100, 2]));
  const heard: number[] = [];
  const prepared = await prepareExamples(many, 3, (done) => Promise.resolve(void heard.push(done)));
  expect(prepared.examples.map(({ index }) => index)).toEqual(many.map(({ index }) => index));
  expect(heard).toEqual([0, 256, 512, 768]);
  const stopped = prepareExamples(many, 3, (done) => (done > 0 ? Promise.reject(new Error('stopped')) : Promise.resolve()));
  await expect(stopped).rejects.toThrow('stopped');
});
