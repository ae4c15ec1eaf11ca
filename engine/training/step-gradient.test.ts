/** Gradients of objectives against the derivatives of their losses. */
import { describe, expect, it } from 'vitest';
import { quadratic } from '../testing/quadratic.ts';
import type { Example, Part } from './examples.ts';
import { objectives } from './objectives/index.ts';
import type { ByToken, Objective } from './objectives/objective.ts';
import { stepGradient, type ObjectiveStep } from './step-gradient.ts';

/** Direct preference optimization (Rafailov et al. 2023): the mean over pairs of -log σ(β (chosen - rejected)), relative to the reference. */
const beta = 0.1;
const dpo: Objective = {
  passes: 2,
  judge({ examples, policy, reference }) {
    const margins = examples.map((_, i) => {
      const [chosen, rejected] = [0, 1].map((j) => total(policy[i]![j]!) - total(reference![i]![j]!));
      return beta * (chosen! - rejected!);
    });
    return {
      loss: margins.reduce((sum, margin) => sum + Math.log(1 + Math.exp(-margin)), 0) / margins.length,
      measures: { 'rewards/accuracies': margins.filter((margin) => margin > 0).length / margins.length },
      weights: policy.map((sequences, i) => {
        const weight = beta / (1 + Math.exp(margins[i]!));
        return sequences.map((tokens, j) => new Float32Array(tokens.length).fill(j === 0 ? weight : -weight));
      }),
      divisor: margins.length,
    };
  },
};

const total = (values: Float32Array): number => values.reduce((sum, x) => sum + x, 0);

function example(index: number, ...sequences: readonly (readonly [Part, length: number, firstLabel: number])[]): Example {
  return {
    ...{ index, file: 'rows.jsonl', line: index + 1 },
    sequences: sequences.map(([part, length, first]) => ({
      inputIds: Int32Array.from({ length }, (_, t) => first + t),
      labels: Int32Array.from({ length }, (_, t) => (t < 2 ? -100 : first + t)),
      part,
    })),
  };
}
/** Of such lengths that the two answers of the second pair lie in different packs. */
const pairs = [0, 1, 2].map((i) => example(i, ['chosen', 90 - 20 * i, 7 * i + 1], ['rejected', 80 + 10 * i, 11 * i + 3]));
const rows = [0, 1, 2, 3].map((i) => example(i, ['whole', 5 + 40 * i, 5 * i + 1]));
const reference = new Map(
  pairs.map((pair, i) => [pair, pair.sequences.map(({ labels }, j) => new Float32Array(labels.length - 2).fill(-1 - i - j))]),
);
const parameters = Float32Array.from({ length: 4 }, (_, i) => Math.cos(i));
const workOf = (objective: Objective, packing: boolean): ObjectiveStep => ({
  ...{ step: quadratic, objective, parameters, reference, stopRequested: () => false },
  recipe: { packing, batchSize: 3 },
});

describe.each([
  ['sft', objectives.sft, rows],
  ['sft with weights of its examples', objectives.sft, rows.map((row, i) => ({ ...row, weight: i < 2 ? 0.5 : 1 }))],
  ['an objective of pairs that are compared with a reference', dpo, pairs],
] as const)('%s', (_, objective, examples) => {
  it.each([true, false])('has the gradient of its loss, packed: %s', async (packing) => {
    const { gradient } = await stepGradient(workOf(objective, packing), examples, 0);
    const lossAt = async (i: number, shift: number) => {
      const moved = Float32Array.from(parameters, (x, at) => (at === i ? x + shift : x));
      return (await stepGradient({ ...workOf(objective, packing), parameters: moved }, examples, 0)).loss;
    };
    for (const [i, found] of gradient.entries()) {
      const numeric = ((await lossAt(i, 1e-3)) - (await lossAt(i, -1e-3))) / 2e-3;
      expect(Math.abs(found - numeric)).toBeLessThan(1e-3 * (1 + Math.abs(numeric)));
    }
  });
});

it('asks for log probabilities first only where weights follow from them', async () => {
  const passes: string[] = [];
  const step: ObjectiveStep['step'] = {
    gradient: (batch, ...given) => (passes.push(`gradient ${batch.lengths.length}`), quadratic.gradient(batch, ...given)),
    score: (batch, ...given) => (passes.push(`score ${batch.lengths.length}`), quadratic.score(batch, ...given)),
  };
  await stepGradient({ ...workOf(objectives.sft, true), step }, rows, 0);
  expect(passes).toEqual(['gradient 3', 'gradient 1']);
  passes.length = 0;
  const { measures } = await stepGradient({ ...workOf(dpo, true), step }, pairs, 0);
  expect(passes).toEqual(['score 3', 'score 3', 'gradient 3', 'gradient 3']);
  expect(Object.keys(measures)).toEqual(['rewards/accuracies']);
});

it('hands an objective the log probabilities of each supervised token by example and sequence', async () => {
  let seen: ByToken = [];
  const watching: Objective = { ...dpo, judge: (scores) => ((seen = scores.policy), dpo.judge(scores)) };
  await stepGradient(workOf(watching, true), pairs, 0);
  expect(seen.map((sequences) => sequences.map(({ length }) => length))).toEqual([
    [88, 78],
    [68, 88],
    [48, 98],
  ]);
  expect(seen.flat().every((tokens) => tokens.every((x) => x < 0))).toBe(true);
});
