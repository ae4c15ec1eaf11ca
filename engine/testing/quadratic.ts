/**
 * Builds a model that can be differentiated by hand: the loss of a token is half the squared distance of all parameters to a
 * point it names.
 */
import { supervised, type MicroBatch } from '../training/micro-batch.ts';
import type { Training } from '../training/loop.ts';
import type { StepResult } from '../training/step.ts';

/** Makes the loss of a token with this label NaN. */
export const labelWithoutLoss = 9_999;

export const quadratic: Training['step'] = {
  prepare: () => Promise.resolve(),
  gradient: (batch, parameters) => Promise.resolve(lossOf(batch, parameters, new Float32Array(parameters.length))),
  score: (batch, parameters) => Promise.resolve(lossOf(batch, parameters, null)),
  evaluate: (batch, parameters) => Promise.resolve(lossOf(batch, parameters, null)),
};

function lossOf(batch: MicroBatch, parameters: Float32Array, gradient: Float32Array | null): StepResult {
  const { targets, tokenRow } = supervised(batch);
  const tokenLoss = Float32Array.from(targets, (label, token) => {
    const weight = batch.weights?.[token] ?? 1;
    let loss = 0;
    for (let i = 0; i < parameters.length; i++) {
      const distance = parameters[i]! - Math.sin(label * (i + 1));
      loss += (distance * distance) / 2;
      if (gradient) gradient[i]! += weight * distance;
    }
    return label === labelWithoutLoss ? NaN : loss;
  });
  return { tokenLoss, tokenRow, gradient };
}
