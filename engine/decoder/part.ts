/** Defines the interface between a block and the builders of its mixer and its feed-forward. */
import type { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import type { BlockRole, LinearRole } from '../models/parts.ts';
import type { DecoderSpec } from '../models/spec.ts';
import type { DecoderOptions } from './options.ts';
import type { Sequence } from './sequence.ts';

/** Tells a part where it stands in the model, and how it computes with the weights of its block. */
export interface PartPlace {
  readonly g: Graph;
  readonly spec: DecoderSpec;
  readonly layer: number;
  readonly sequence: Sequence;
  readonly options: DecoderOptions;
  /** Applies a linear layer of the block to `x` `[tokens, in]`, with its adapter where it has one. */
  project(role: LinearRole, x: Value): Value;
  /** Returns the module path of a role, such as `model.layers.3.self_attn.q_norm`. */
  path(role: BlockRole): string;
}

/** Builds a part over its input `[tokens, hidden]` and returns a value of the same shape. */
export type PartBuilder<Part> = (place: PartPlace, part: Part, x: Value) => Value;
