/** Reads an export back, as any other program would, and compares it with what was to be written. */
import { join } from 'node:path';
import type { ProofCheck } from '../contract.ts';
import { readOnnxAdapter } from '../formats/onnx-adapter.ts';
import type { OpenModel } from '../models/open.ts';
import { modelTensors } from '../models/spec.ts';
import { tensorView, type Adapter, type AdapterTensor } from '../adapters/adapter.ts';
import { onnxAdapterName, onnxFactors } from './onnx/folder.ts';
import type { Merged } from './merge.ts';
import type { OnProgress } from './progress.ts';

/**
 * Compares all tensors and names the one with the largest relative error, |found - expected| / |expected| as lengths of
 * vectors.
 */
export async function compareWeights(
  merged: Merged,
  exported: OpenModel,
  limit: number,
  onProgress: OnProgress,
): Promise<ProofCheck> {
  const tensors = modelTensors(merged.model.spec);
  let worst = { name: '', error: 0 };
  for (const [done, { name }] of tensors.entries()) {
    await onProgress(done, tensors.length);
    const error = relativeError(merged.weights.read(name), exported.weights.read(name));
    // An error that is NaN must not pass as small.
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

/**
 * Returns the parts of an adapter by the names of what they adapt. The scale of a product is included in its B, wherever a
 * format stores it.
 */
function parts({ shape, parameters }: Adapter): Map<string, Float32Array> {
  const view = (tensor: AdapterTensor): Float32Array => tensorView(parameters, tensor);
  return new Map([
    ...shape.modules.flatMap(({ path, a, b, magnitude, scale }): [string, Float32Array][] => [
      [`${path} A`, view(a)],
      [`${path} B`, view(b).map((value) => value * scale)],
      ...(magnitude === null ? [] : [[`${path} magnitude`, view(magnitude)] as [string, Float32Array]]),
    ]),
    ...shape.replaced.map(({ names: [name = ''], tensor }): [string, Float32Array] => [name, view(tensor)]),
  ]);
}

/** Compares the parts of two adapters; each may differ by at most `limit`, as a relative error. */
export function compareAdapters(expected: Adapter, found: Adapter, limit: number): ProofCheck {
  const [wanted, got] = [parts(expected), parts(found)];
  const missing = [...wanted.keys(), ...got.keys()].find((name) => !wanted.has(name) || !got.has(name));
  const errors = [...wanted].map(([name, values]) => ({ name, error: relativeError(values, got.get(name) ?? values) }));
  const worst = errors.reduce((most, each) => (each.error <= most.error ? most : each), { name: '', error: 0 });
  const passed = missing === undefined && worst.error <= limit;
  const text =
    missing === undefined
      ? worst.error === 0
        ? `all ${wanted.size} tensors are equal`
        : `the worst of ${wanted.size} tensors, ${worst.name}, is off by ${worst.error.toPrecision(2)} of itself (at most ${limit})`
      : `'${missing}' is in only one of the two adapters`;
  return { name: 'Structure', value: null, limit: null, text, passed };
}

/**
 * Compares the file beside an ONNX model with an adapter's factors; each must be present under its name with identical bits.
 */
export function compareFactors(adapter: Adapter, folder: string): ProofCheck {
  const found = new Map(readOnnxAdapter(join(folder, onnxAdapterName)).map((factor) => [factor.name, factor]));
  const factors = onnxFactors(adapter);
  const wrong = factors.find(({ name, shape, values }) => {
    const is = found.get(name);
    return is?.shape.join() !== shape.join() || !values.every((value, i) => Object.is(value, is.values[i]));
  });
  const passed = wrong === undefined && found.size === factors.length;
  const text = passed
    ? `all ${factors.length} factors of the adapter are equal`
    : wrong === undefined
      ? `there are ${found.size} factors, not ${factors.length}`
      : `'${wrong.name}' is another one`;
  return { name: 'Structure', value: null, limit: null, text, passed };
}

/** Below this number the half-precision types have steps of one size. */
const smallestNormal = 2 ** -14;

function relativeError(expected: Float32Array, found: Float32Array): number {
  if (found.length !== expected.length) return Infinity;
  let length = 0;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    length += Math.max(Math.abs(expected[i]!), smallestNormal) ** 2;
    difference += (found[i]! - expected[i]!) ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / length);
}
