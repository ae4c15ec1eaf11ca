/** What the builder of a mixer or a feed-forward is handed. */
import type { Graph, Value } from '../graph/graph.ts';
import type { BlockRole, LinearRole } from '../models/parts.ts';
import type { DecoderSpec } from '../models/spec.ts';
import type { DecoderOptions } from './options.ts';
import type { Sequence } from './sequence.ts';

/** Where a part stands, and how it computes with the weights of its block. */
export interface PartPlace {
  readonly g: Graph;
  readonly spec: DecoderSpec;
  readonly layer: number;
  readonly sequence: Sequence;
  readonly options: DecoderOptions;
  /** A linear layer of the block, adapted where there are factors. */
  project(role: LinearRole, x: Value): Value;
  /** `model.layers.3.self_attn.q_norm` */
  path(role: BlockRole): string;
}

/** Builds a part over its input `[tokens, hidden]`; what it gives is of the same shape. */
export type PartBuilder<Part> = (place: PartPlace, part: Part, x: Value) => Value;
