/**
 * Converts an adapter that began with a part of its base (PiSSA, OLoRA) into one on the base itself, as PEFT does when it
 * saves: W - s B₀ A₀ + s B A = W + s [B, -B₀] [A; A₀], of twice the rank. It also converts back, for a run that is resumed.
 */
import type { DecoderSpec } from '../models/spec.ts';
import { adapterShape, tensorView, type Adapter } from './adapter.ts';
import type { AdapterConfig } from './config.ts';

export function plainAdapter(adapter: Adapter, spec: DecoderSpec): Adapter {
  const { config, shape, parameters, initial } = adapter;
  if (initial === null) return adapter;
  const plain = adapterShape(rescaled(config, 2), spec);
  const values = new Float32Array(plain.length);
  plain.modules.forEach((module, i) => {
    const half = shape.modules[i]!;
    const isTaken = half.kind === 'linear';
    const [a, b] = [tensorView(values, module.a), tensorView(values, module.b)];
    a.set(tensorView(parameters, half.a));
    if (isTaken) a.set(tensorView(initial, half.a), half.rank * half.inFeatures);
    const [now, before] = [tensorView(parameters, half.b), tensorView(initial, half.b)];
    for (let row = 0; row < half.outFeatures; row++)
      for (let k = 0; k < half.rank; k++) {
        b[row * module.rank + k] = now[row * half.rank + k]!;
        b[row * module.rank + half.rank + k] = isTaken ? -before[row * half.rank + k]! : 0;
      }
  });
  plain.replaced.forEach(({ tensor }, i) => tensorView(values, tensor).set(tensorView(parameters, shape.replaced[i]!.tensor)));
  return { config: rescaled(config, 2), shape: plain, parameters: values, initial: null };
}

export function splitAdapter({ config, shape, parameters }: Adapter, spec: DecoderSpec): Adapter {
  const halves = adapterShape(rescaled(config, 1 / 2), spec);
  const [values, initial] = [new Float32Array(halves.length), new Float32Array(halves.length)];
  halves.modules.forEach((half, i) => {
    const module = shape.modules[i]!;
    const [a, b] = [tensorView(parameters, module.a), tensorView(parameters, module.b)];
    tensorView(values, half.a).set(a.subarray(0, half.rank * half.inFeatures));
    tensorView(initial, half.a).set(a.subarray(half.rank * half.inFeatures));
    const [now, before] = [tensorView(values, half.b), tensorView(initial, half.b)];
    for (let row = 0; row < half.outFeatures; row++)
      for (let k = 0; k < half.rank; k++) {
        now[row * half.rank + k] = b[row * module.rank + k]!;
        before[row * half.rank + k] = -b[row * module.rank + half.rank + k]!;
      }
  });
  halves.replaced.forEach(({ tensor }, i) => tensorView(values, tensor).set(tensorView(parameters, shape.replaced[i]!.tensor)));
  return { config: rescaled(config, 1 / 2), shape: halves, parameters: values, initial };
}

/** Multiplies all ranks by `factor` and keeps the scales. */
function rescaled(config: AdapterConfig, factor: number): AdapterConfig {
  const times = (pattern: Readonly<Record<string, number>>, by: number) =>
    Object.fromEntries(Object.entries(pattern).map(([name, value]) => [name, rounded(value * by)]));
  const ofAlpha = config.rslora ? Math.sqrt(factor) : factor;
  // Converting there and back must give the same number.
  const rounded = (value: number) => Number(value.toPrecision(12));
  return {
    ...config,
    rank: config.rank * factor,
    alpha: rounded(config.alpha * ofAlpha),
    rankPattern: times(config.rankPattern, factor),
    alphaPattern: times(config.alphaPattern, ofAlpha),
  };
}
