/** Defines supervised fine-tuning, whose loss is the mean cross entropy in nats over the supervised tokens of a step, weighted by example. */
import { supervisedTokens } from '../../labels.ts';
import type { Example } from '../examples.ts';
import type { ByToken, Objective } from './objective.ts';

export const sft: Objective = {
  passes: 1,
  weigh: (examples) => ({ weights: weightsOf(examples), divisor: weightOf(examples) }),
  judge({ examples, policy }) {
    const total = weightOf(examples);
    let loss = 0;
    for (const [i, sequences] of policy.entries()) {
      const { weight = 1 } = examples[i]!;
      for (const logProbabilities of sequences)
        for (const logProbability of logProbabilities) loss -= (weight * logProbability) / total;
    }
    return { loss, measures: {} };
  },
};

/** Returns the weight of each token, or null where each is 1. */
function weightsOf(examples: readonly Example[]): ByToken | null {
  if (examples.every(({ weight = 1 }) => weight === 1)) return null;
  return examples.map(({ sequences, weight = 1 }) =>
    sequences.map(({ labels }) => new Float32Array(supervisedTokens(labels)).fill(weight)),
  );
}

/** Returns the weight of all supervised tokens together: their number where each counts 1. */
function weightOf(examples: readonly Example[]): number {
  let total = 0;
  for (const { sequences, weight = 1 } of examples)
    for (const { labels } of sequences) total += weight * supervisedTokens(labels);
  return total;
}
