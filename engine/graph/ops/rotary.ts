/** Rotary position embedding in transformers' layout: the first half of a head is rotated against the second. */
import type { Op } from '../graph.ts';
import { defineOp } from '../graph.ts';
import { neg } from './elementwise.ts';

export interface RotaryAttributes {
  readonly heads: number;
  /** Leading elements of a head that are rotated. */
  readonly dimension: number;
}

// x [batch, time, heads * headDim], position of the first token int64 [1], cos and sin [positions, dimension / 2].
// (y₁, y₂) = (x₁ cos - x₂ sin, x₂ cos + x₁ sin)        dx: dy turned the other way
export const rotary: Op<RotaryAttributes> = defineOp<RotaryAttributes>({
  name: 'RotaryEmbedding',
  forward: (g, inputs, { heads, dimension }) => [
    g.node('RotaryEmbedding', inputs, {
      domain: 'com.microsoft',
      shape: inputs[0]!.shape,
      attributes: { num_heads: { int: heads }, rotary_embedding_dim: { int: dimension } },
    }),
  ],
  backward: (g, { inputs: [, position, cos, sin], attributes, dy }) => [
    () => rotary(g, [dy, position!, cos!, neg(g, [sin!])], attributes),
    null,
    null,
    null,
  ],
});
