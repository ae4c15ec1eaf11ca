/**
 * Defines rotary position embedding (Su et al. 2021): pairs of elements of a head rotate by an angle that grows with the
 * position.
 */
import { defineOp, type Op } from '../op.ts';
import { neg } from './elementwise.ts';

export interface RotaryAttributes {
  readonly heads: number;
  /** Gives the number of leading elements of a head that are rotated. */
  readonly dimension: number;
  /** Says whether a pair is two neighbours; otherwise it is an element of the first half and its partner of the second. */
  readonly interleaved?: boolean;
}

// x [batch, time, heads * headDim], position of the first token int64 [1], cos and sin [positions, dimension / 2].
// (y₁, y₂) = (x₁ cos - x₂ sin, x₂ cos + x₁ sin)        dx: dy turned the other way
export const rotary: Op<RotaryAttributes> = defineOp<RotaryAttributes>({
  name: 'RotaryEmbedding',
  forward: (g, inputs, { heads, dimension, interleaved }) => [
    g.node('RotaryEmbedding', inputs, {
      num_heads: { int: heads },
      rotary_embedding_dim: { int: dimension },
      interleaved: { int: interleaved ? 1 : 0 },
    }),
  ],
  backward: (g, { inputs: [, position, cos, sin], attributes, dy }) => [
    () => rotary(g, [dy, position!, cos!, neg(g, [sin!])], attributes),
    null,
    null,
    null,
  ],
});
