import { expect, it } from 'vitest';
import { prepareExamples } from './examples.ts';

const cutAtThree = { maxLength: 3, documentOverlap: null };

function row(index: number, ids: number[], labels: number[]) {
  return { index, file: 'rows.jsonl', line: index + 1, inputIds: Int32Array.from(ids), labels: Int32Array.from(labels) };
}

it('cuts rows at the right and leaves out those without a target then', async () => {
  const prepared = await prepareExamples(
    [row(0, [1, 2, 3, 4], [-100, -100, 3, 4]), row(1, [1, 2, 3, 4], [1, -100, -100, 4]), row(2, [5, 6], [5, 6])],
    cutAtThree,
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
    (
      await prepareExamples(rows, { maxLength: 9, documentOverlap: null }, () => Promise.resolve(), { turnWeight })
    ).examples.map(({ weight }) => weight);
  expect(await weights('turn')).toEqual([1, 1, 1]);
  expect(await weights('conversation')).toEqual([0.5, 0.5, 1]);
});

it('goes through many rows in turns, and a stop ends it between two', async () => {
  const many = Array.from({ length: 1000 }, (_, i) => row(i, [1, 2], [-100, 2]));
  const heard: number[] = [];
  const prepared = await prepareExamples(many, cutAtThree, (done) => Promise.resolve(void heard.push(done)));
  expect(prepared.examples.map(({ index }) => index)).toEqual(many.map(({ index }) => index));
  expect(heard).toEqual([0, 256, 512, 768]);
  const stopped = prepareExamples(many, cutAtThree, (done) =>
    done > 0 ? Promise.reject(new Error('stopped')) : Promise.resolve(),
  );
  await expect(stopped).rejects.toThrow('stopped');
});

it('divides documents into parts, whose first tokens are only looked at', async () => {
  const document = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const rows = [
    { ...row(0, document, document), isDocument: true },
    row(1, [1, 2, 3, 4, 5], [-100, -100, 3, 4, 5]),
    row(2, [7, 8], [7, 8]),
  ];
  const prepared = async (documentOverlap: number) => {
    const { examples, ...counts } = await prepareExamples(rows, { maxLength: 4, documentOverlap }, () => Promise.resolve());
    expect(counts).toEqual({ truncated: 1, divided: 1, withoutTarget: 0 });
    return examples.map(({ index, sequences }) => [index, [...sequences[0]!.inputIds], [...sequences[0]!.labels]]);
  };
  const others = [
    [1, [1, 2, 3, 4], [-100, -100, 3, 4]],
    [2, [7, 8], [7, 8]],
  ];
  // A part of one token has nothing to learn.
  expect(await prepared(0)).toEqual([[0, [1, 2, 3, 4], [1, 2, 3, 4]], [0, [5, 6, 7, 8], [5, 6, 7, 8]], ...others]);
  const halves = [
    [0, [1, 2, 3, 4], [1, 2, 3, 4]],
    [0, [3, 4, 5, 6], [-100, -100, 5, 6]],
    [0, [5, 6, 7, 8], [-100, -100, 7, 8]],
    [0, [7, 8, 9], [-100, -100, 9]],
  ];
  expect(await prepared(2)).toEqual([...halves, ...others]);
  expect(await prepared(3), 'half of the length at most').toEqual([...halves, ...others]);
});
