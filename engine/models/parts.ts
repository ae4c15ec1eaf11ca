/** What a mixer or a feed-forward of a block tells of itself, whatever its kind. The kinds lie in `mixers/` and `feed-forward/`. */

/** The parts of a block have GGUF's names here; a family says what transformers calls them. */
export type NormRole = 'attn_norm' | 'attn_q_norm' | 'attn_k_norm' | 'post_attention_norm' | 'ffn_norm' | 'post_ffw_norm';
export type LinearRole = 'attn_q' | 'attn_k' | 'attn_v' | 'attn_qkv' | 'attn_output' | 'ffn_gate' | 'ffn_up' | 'ffn_down';
export type BlockRole = NormRole | LinearRole;

export interface NormSpec {
  readonly kind: 'rms' | 'layer';
  readonly epsilon: number;
  /** `plusOne`: the factor is one more than what is stored (Gemma). */
  readonly weight: 'plain' | 'plusOne' | 'none';
  readonly bias: boolean;
}

/** A linear layer of a part. */
export interface PartLinear {
  readonly role: LinearRole;
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** The part ends with it: what it computes is added to what the block was given. */
  readonly last: boolean;
}

/** A tensor, or two, that a part has beside its linear layers; null where there is none. */
export interface PartTensor {
  readonly role: BlockRole;
  readonly weight: readonly number[] | null;
  readonly bias: readonly number[] | null;
}

/** An array that a part keeps from token to token of a row. Without `tokens` in its shape it does not grow. */
export interface StateArray {
  /** `key` */
  readonly name: string;
  readonly shape: readonly (number | 'tokens')[];
}

/**
 * What a part reads besides the stream of tokens: `starts`, where the row of each token begins, by which a recurrence keeps rows apart
 * that are packed into one.
 */
export type PartNeed = 'starts';

/** Tells what is known of a part without building its graph. Its builder stands in `engine/decoder`. */
export interface PartKind<Part> {
  /** Its linear layers, in the order they are computed. */
  linears(part: Part, hiddenSize: number): readonly PartLinear[];
  /** Its tensors besides, in the order they are computed. */
  tensors(part: Part): readonly PartTensor[];
  /** What it keeps from token to token, of one row. */
  state(part: Part): readonly StateArray[];
  readonly needs: readonly PartNeed[];
  /** The same with few and narrow parts: it needs every operator that the original needs. */
  miniature(part: Part): Part;
  /** A sentence about sizes that fit no model; null where all is well. */
  fault(part: Part): string | null;
}

/** The tensors of a norm over an array of this shape. */
export function normTensors(role: NormRole, norm: NormSpec, shape: readonly number[]): PartTensor {
  return { role, weight: norm.weight === 'none' ? null : shape, bias: norm.bias ? shape : null };
}
