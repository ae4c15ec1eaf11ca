/** Builds the graph of every decoder, from a DecoderSpec and weights to hidden states and logits. */
import type { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import { tanh } from '../graph/ops/activation.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { embedding } from '../graph/ops/embedding.ts';
import { linear } from '../graph/ops/matmul.ts';
import { gatherRows } from '../graph/ops/shape.ts';
import { recompute } from '../graph/recompute.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { buildBlock } from './block.ts';
import { normalize } from './norm.ts';
import type { DecoderOptions } from './options.ts';
import type { Sequence } from './sequence.ts';

/** Builds the hidden states `[tokens, hidden]` after the last block, before the final norm. */
export function decoder(g: Graph, spec: DecoderSpec, sequence: Sequence, options: DecoderOptions): Value {
  let x = embed(g, spec, sequence, options);
  for (let layer = 0; layer < spec.blocks.length; layer++) {
    const input = x;
    const build = () => g.scope(`${spec.modules.blocks}.${layer}`, () => buildBlock(g, spec, sequence, options, layer, input));
    x = layer < options.recompute ? recompute(g, build) : build();
  }
  return x;
}

/**
 * Builds the input of the output head `[rows, hidden]`: `rows` of `hidden` `[tokens, hidden]` (null: all), normed and scaled.
 */
export function headInput(g: Graph, spec: DecoderSpec, hidden: Value, rows: Value | null, options: DecoderOptions): Value {
  const path = spec.modules.output_norm;
  const chosen = rows === null ? hidden : gatherRows(g, [hidden, rows]);
  const normed = g.scope(path, () => normalize(g, spec.norm, path, chosen, options));
  return spec.head.scale === 1 ? normed : mul(g, [normed, g.scalar(spec.head.scale)]);
}

/**
 * Builds the logits `[rows, vocabulary]` from the input of the output head. A tied head too asks for its weight by its own
 * name.
 */
export function headLogits(g: Graph, { modules, head }: DecoderSpec, x: Value, options: DecoderOptions): Value {
  const path = modules.output;
  return g.scope(path, () => {
    const bias = head.bias ? options.weight(`${path}.bias`) : null;
    const plain =
      options.head?.(g, x, bias, options.lora(path)) ??
      options.linear?.(path, x, bias) ??
      linear(g, x, options.weight(`${path}.weight`), bias, options.lora(path));
    return head.cap === null ? plain : capped(g, plain, head.cap);
  });
}

/** Builds the logits `[rows, vocabulary]` of `rows` of the hidden states `[tokens, hidden]` (null: all). */
export function logits(g: Graph, spec: DecoderSpec, hidden: Value, rows: Value | null, options: DecoderOptions): Value {
  return headLogits(g, spec, headInput(g, spec, hidden, rows, options), options);
}

/** Builds the embedded tokens `[tokens, hidden]`. */
function embed(g: Graph, spec: DecoderSpec, { inputIds, positions }: Sequence, options: DecoderOptions): Value {
  const { modules, embeddingScale } = spec;
  const path = modules.token_embd;
  const embedded = g.scope(path, () => {
    const rows = options.rows?.(path, inputIds) ?? gatherRows(g, [options.weight(`${path}.weight`), inputIds]);
    return embedding(g, inputIds, rows, options.lora(path));
  });
  const noisy = options.noise === undefined ? embedded : add(g, [embedded, options.noise]);
  const scaled = embeddingScale === 1 ? noisy : mul(g, [noisy, g.scalar(embeddingScale)]);
  if (positions === null) return scaled;
  return g.scope(modules.position_embd!, () =>
    add(g, [scaled, gatherRows(g, [options.weight(`${modules.position_embd}.weight`), positions])]),
  );
}

/** Builds cap · tanh(x / cap). */
function capped(g: Graph, x: Value, cap: number): Value {
  return mul(g, [tanh(g, [mul(g, [x, g.scalar(1 / cap)])]), g.scalar(cap)]);
}
