/** An export's weights, read back as anyone would, against those that were to be written. */
import type { ProofCheck } from '../contract.ts';
import type { OpenModel } from '../models/open.ts';
import { modelTensors } from '../models/spec.ts';
import type { Merged } from './merge.ts';
import type { Step } from './source.ts';

/** The largest relative error of a tensor, |found - expected| / |expected| as lengths of vectors, and whose it is. */
export async function compareWeights(merged: Merged, exported: OpenModel, limit: number, step: Step): Promise<ProofCheck> {
  const tensors = modelTensors(merged.model.spec);
  let worst = { name: '', error: 0 };
  for (const [done, { name }] of tensors.entries()) {
    await step(done, tensors.length);
    const error = relativeError(merged.weights.read(name), exported.weights.read(name));
    // An error that is no number must not pass as small.
    if (!(error <= worst.error)) worst = { name, error: Number.isNaN(error) ? Infinity : error };
  }
  const { name, error } = worst;
  return {
    name: 'Weights',
    value: error,
    limit,
    text:
      error === 0
        ? `all ${tensors.length} tensors are equal`
        : `the worst of ${tensors.length} tensors, ${name}, is off by ${error.toPrecision(2)} of itself (at most ${limit})`,
    passed: error <= limit,
  };
}

function relativeError(expected: Float32Array, found: Float32Array): number {
  if (found.length !== expected.length) return Infinity;
  let length = 0;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    length += expected[i]! ** 2;
    difference += (found[i]! - expected[i]!) ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / length);
}
