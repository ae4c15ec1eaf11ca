/** Builds the norms of a decoder. */
import type { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import { add } from '../graph/ops/elementwise.ts';
import { layerNorm, rmsNorm } from '../graph/ops/normalization.ts';
import type { NormSpec } from '../models/parts.ts';
import { assert } from '../problem.ts';
import type { DecoderOptions } from './options.ts';

/** Normalizes the last axis with the weights stored at a path. */
export function normalize(
  g: Graph,
  { kind, epsilon, weight, bias }: NormSpec,
  path: string,
  x: Value,
  options: DecoderOptions,
): Value {
  const width = x.shape.at(-1);
  assert(typeof width === 'number', 'the normalized axis has no size');
  const factor = (): Value => {
    if (weight === 'none') return g.constant('float32', [width], Array<number>(width).fill(1));
    const stored = options.weight(`${path}.weight`);
    return weight === 'plusOne' ? add(g, [stored, g.scalar(1)]) : stored;
  };
  if (kind === 'rms') return rmsNorm(g, [x, factor()], { epsilon });
  return layerNorm(g, [x, factor(), ...(bias ? [options.weight(`${path}.bias`)] : [])], { epsilon });
}
