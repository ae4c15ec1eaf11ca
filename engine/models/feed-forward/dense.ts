/** Describes a dense feed-forward, in which every token passes through the same matrices. */
import { limitFault } from '../limits.ts';
import type { PartKind } from '../parts.ts';

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'relu';

export interface Dense {
  readonly kind: 'dense';
  readonly intermediateSize: number;
  readonly activation: Activation;
  /**
   * Gives the form: `gated` is down(act(gate) ∘ up), `fused` the same with gate above up in one matrix `ffn_up`, `plain` is
   * down(act(up)).
   */
  readonly form: 'gated' | 'fused' | 'plain';
}

export const dense: PartKind<Dense> = {
  linears({ intermediateSize, form }, hiddenSize) {
    const up = { role: 'ffn_up', inFeatures: hiddenSize, outFeatures: intermediateSize, last: false } as const;
    return [
      ...(form === 'gated' ? [{ ...up, role: 'ffn_gate' } as const] : []),
      form === 'fused' ? { ...up, outFeatures: 2 * intermediateSize } : up,
      { role: 'ffn_down', inFeatures: intermediateSize, outFeatures: hiddenSize, last: true },
    ];
  },
  tensors: () => [],
  state: () => [],
  needs: [],
  miniature: (part) => ({ ...part, intermediateSize: 128 }),
  fault: ({ intermediateSize }) => limitFault('intermediateSize', intermediateSize),
};
