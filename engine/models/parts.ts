/** Defines what every kind of mixer and feed-forward tells about itself. The kinds are in `mixers/` and `feed-forward/`. */

/** Names the roles of norms in a block, as GGUF does. A family says what transformers calls them. */
export type NormRole = 'attn_norm' | 'attn_q_norm' | 'attn_k_norm' | 'post_attention_norm' | 'ffn_norm' | 'post_ffw_norm';
export type LinearRole = 'attn_q' | 'attn_k' | 'attn_v' | 'attn_qkv' | 'attn_output' | 'ffn_gate' | 'ffn_up' | 'ffn_down';
export type BlockRole = NormRole | LinearRole;

export interface NormSpec {
  readonly kind: 'rms' | 'layer';
  readonly epsilon: number;
  /** Says whether the norm has a factor; with `plusOne` the factor is one more than the stored weight (Gemma). */
  readonly weight: 'plain' | 'plusOne' | 'none';
  readonly bias: boolean;
}

/** Describes a linear layer of a part. */
export interface PartLinear {
  readonly role: LinearRole;
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Says whether it is the last layer of the part, whose result is added to the residual stream. */
  readonly last: boolean;
}

/** Describes the weight and the bias that a part has besides its linear layers; each is null where there is none. */
export interface PartTensor {
  readonly role: BlockRole;
  readonly weight: readonly number[] | null;
  readonly bias: readonly number[] | null;
}

/** Describes an array that a part keeps from token to token of a row. Without `tokens` in its shape it does not grow. */
export interface StateArray {
  /** Gives the name of the array, such as `key`. */
  readonly name: string;
  readonly shape: readonly (number | 'tokens')[];
}

/**
 * Names what a part reads besides the residual stream: `starts` is the index at which the row of each token begins, by which a
 * recurrence separates packed rows.
 */
export type PartNeed = 'starts';

/** Describes a kind of part without building its graph. The builder is in `engine/decoder`. */
export interface PartKind<Part> {
  /** Lists its linear layers, in the order in which they are computed. */
  linears(part: Part, hiddenSize: number): readonly PartLinear[];
  /** Lists its other tensors, in the order in which they are read. */
  tensors(part: Part): readonly PartTensor[];
  /** Lists the arrays that it keeps from token to token of one row. */
  state(part: Part): readonly StateArray[];
  readonly needs: readonly PartNeed[];
  /** Returns a small version of the part that needs every operator the original needs. */
  miniature(part: Part): Part;
  /** Returns a sentence about sizes that no model can have, or null where all is well. */
  fault(part: Part): string | null;
}

/** Returns the tensors of a norm over an array of this shape. */
export function normTensors(role: NormRole, norm: NormSpec, shape: readonly number[]): PartTensor {
  return { role, weight: norm.weight === 'none' ? null : shape, bias: norm.bias ? shape : null };
}
