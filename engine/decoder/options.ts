/** How a graph of a decoder reads what is not in its spec: weights, adapters, what is kept from token to token. */
import type { Graph, Value } from '../graph/graph.ts';
import type { LoraFactors } from '../graph/ops/matmul.ts';
import type { Attention } from '../models/mixers/attention.ts';

export interface DecoderOptions {
  /** Frozen, or an input that is trained. */
  readonly weight: (name: string) => Value;
  /** The factors that adapt the module at a path, or null. */
  readonly lora: (path: string) => LoraFactors | null;
  /** What is added to the embedded tokens `[tokens, hidden]` while training. */
  readonly noise?: Value;
  /** Of so many blocks, from the first, keep only the input for the backward. */
  readonly recompute: number;
  /** Computes a linear layer another way, from packed weights for one; null: as usual. */
  readonly linear?: (path: string, x: Value, bias: Value | null) => Value | null;
  /** Computes the output head another way, in the graph that is given: the loss has one of its own; null: as usual. */
  readonly head?: (g: Graph, x: Value, bias: Value | null, lora: LoraFactors | null) => Value | null;
  /** Picks rows of the embedding another way, out of a packed one; null: as usual. */
  readonly rows?: (path: string, ids: Value) => Value | null;
  /** What a block goes on from; left out, every row begins with these tokens. */
  readonly state?: (layer: number) => BlockState;
  /** Attends another way, with a state of its own; all are `[tokens, heads * headDim]` of their own heads. */
  readonly attend?: (mixer: Attention, layer: number, inputs: Record<'query' | 'key' | 'value', Value>) => Value;
}

/** The arrays that a block keeps from token to token, by name. */
export interface BlockState {
  readonly past: Readonly<Record<string, Value>>;
  /** What these tokens add to an array that grows, or what takes the place of one that does not. */
  put(name: string, value: Value): void;
}
