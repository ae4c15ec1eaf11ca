/**
 * Describes how the graph of a decoder reads what its spec does not hold: weights, adapters, and the state kept between tokens.
 */
import type { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import type { LoraFactors } from '../graph/ops/matmul.ts';
import type { Attention } from '../models/mixers/attention.ts';

export interface DecoderOptions {
  /** Returns the weight of a name: a frozen one, or an input that is trained. */
  readonly weight: (name: string) => Value;
  /** Returns the LoRA factors that adapt the module at a path, or null where it is not adapted. */
  readonly lora: (path: string) => LoraFactors | null;
  /** Holds the noise that is added to the embedded tokens `[tokens, hidden]` while training. */
  readonly noise?: Value;
  /**
   * Counts the blocks with gradient checkpointing: these, counted from the first, keep only their input and are computed again
   * in the backward pass.
   */
  readonly recompute: number;
  /** Computes a linear layer in another way, for example from packed weights; null leaves it to the usual way. */
  readonly linear?: (path: string, x: Value, bias: Value | null) => Value | null;
  /**
   * Computes the output head in another way, in graph `g`, because the loss has a graph of its own; null leaves it to the usual
   * way.
   */
  readonly head?: (g: Graph, x: Value, bias: Value | null, lora: LoraFactors | null) => Value | null;
  /** Picks rows of the embedding in another way, for example out of a packed matrix; null leaves it to the usual way. */
  readonly rows?: (path: string, ids: Value) => Value | null;
  /** Returns the state that a block continues from. If it is left out, every row begins with these tokens. */
  readonly state?: (layer: number) => BlockState;
  /** Computes attention in another way, with a state of its own; inputs and result are `[tokens, heads * headDim]`. */
  readonly attend?: (mixer: Attention, layer: number, inputs: Record<'query' | 'key' | 'value', Value>) => Value;
}

/** Holds the arrays that a block keeps from token to token, by name. */
export interface BlockState {
  readonly past: Readonly<Record<string, Value>>;
  /** Stores what these tokens append to an array that grows, or the new content of an array that does not grow. */
  put(name: string, value: Value): void;
}
