/** Defines supervised fine-tuning, whose loss is the mean cross entropy in nats over all supervised tokens of a step. */
import { supervisedOf } from '../examples.ts';
import type { Objective } from './objective.ts';

export const sft: Objective = {
  passes: 1,
  weigh: (examples) => ({ weights: null, divisor: supervisedOf(examples) }),
  judge({ examples, policy }) {
    const count = supervisedOf(examples);
    let loss = 0;
    for (const sequences of policy)
      for (const logProbabilities of sequences) for (const logProbability of logProbabilities) loss -= logProbability / count;
    return { loss, measures: {} };
  },
};
