import { expect, test } from 'vitest';
import { LearningWatch } from './learning-watch.ts';

function noticesOf(rows: readonly { loss: number; gradientNorm?: number }[], first = 1): string[] {
  const watch = new LearningWatch(1000);
  return rows.flatMap(({ loss, gradientNorm = 1 }, i) => watch.step({ step: first + i, loss, gradientNorm }) ?? []);
}
const steps = (count: number, loss: (i: number) => number) => Array.from({ length: count }, (_, i) => ({ loss: loss(i) }));

test('a first gradient of 0 is noticed, a later one and a small one are not', () => {
  expect(
    noticesOf(
      [
        { loss: 2, gradientNorm: 0 },
        { loss: 2, gradientNorm: 0 },
      ],
      7,
    ),
  ).toEqual([expect.stringMatching(/^Nothing is learned: the gradient of step 7 is 0/) as string]);
  expect(
    noticesOf([
      { loss: 2, gradientNorm: 1e-9 },
      { loss: 2, gradientNorm: 0 },
    ]),
  ).toEqual([]);
});

test('a loss that stays at that of guessing is noticed once, one that moves or is another is not', () => {
  const guessing = Math.log(1000);
  expect(noticesOf(steps(60, (i) => guessing + 0.01 * Math.sin(i)))).toEqual([
    expect.stringMatching(/^The model guesses: the loss stayed at 6\.9\d in the first 20 steps/) as string,
  ]);
  expect(noticesOf(steps(60, (i) => guessing - 0.05 * i))).toEqual([]);
  expect(noticesOf(steps(60, () => 2.5))).toEqual([]);
  expect(noticesOf(steps(19, () => guessing))).toEqual([]);
});
