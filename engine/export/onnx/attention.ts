/**
 * Computes attention as one GroupQueryAttention node, which keeps keys and values as `[batch, keyValueHeads, tokens, headDim]`.
 */
import type { Graph } from '../../graph/graph.ts';
import type { Value } from '../../graph/node.ts';
import { reshape } from '../../graph/ops/shape.ts';
import type { Attention } from '../../models/mixers/attention.ts';
import type { DecoderSpec } from '../../models/spec.ts';
import { Problem } from '../../problem.ts';

/** Names of the dimensions of an exported graph. */
export const exportDims = {
  batch: 'batch_size',
  time: 'sequence_length',
  past: 'past_sequence_length',
  total: 'total_sequence_length',
};

/**
 * Holds the lengths that the node needs, int32: `lastKey` is the number of keys of each row minus one, `total` that of the
 * longest row.
 */
export interface KeyCounts {
  readonly lastKey: Value;
  readonly total: Value;
}

/** Computes the weighted values `[tokens, heads * headDim]` and the keys and values of all tokens so far. */
export function groupQueryAttention(
  g: Graph,
  { heads, keyValueHeads, headDim, scoreScale, scoreCap, window }: Attention,
  { query, key, value }: Readonly<Record<'query' | 'key' | 'value', Value>>,
  past: () => Readonly<Record<string, Value>>,
  { lastKey, total }: KeyCounts,
): { readonly mixed: Value; readonly key: Value; readonly value: Value } {
  const { batch, time } = exportDims;
  const rows = (x: Value, count: number): Value => reshape(g, [x], { shape: [batch, time, count * headDim] });
  const laid = [rows(query, heads), rows(key, keyValueHeads), rows(value, keyValueHeads)];
  const before = past();
  const cached = [batch, keyValueHeads, exportDims.total, headDim];
  const [mixed, keys, values] = g.nodeWithOutputs(
    'GroupQueryAttention',
    [...laid, before['key']!, before['value']!, lastKey, total],
    {
      num_heads: { int: heads },
      kv_num_heads: { int: keyValueHeads },
      scale: { float: scoreScale },
      softcap: { float: scoreCap ?? 0 },
      local_window_size: { int: window ?? -1 },
      do_rotary: { int: 0 },
    },
    [undefined, cached, cached],
  );
  return { mixed: reshape(g, [mixed!], { shape: ['tokens', heads * headDim] }), key: keys!, value: values! };
}

/** Returns why the node, or the programs that fill its arrays, cannot run a model, or null where they can. */
export function attentionRefusal({ blocks }: DecoderSpec): Problem | null {
  const mixers = blocks.flatMap(({ mixer }) => (mixer.kind === 'attention' ? mixer : []));
  const hint = 'Export a GGUF or safetensors instead.';
  const odd = mixers.find(({ headDim }) => headDim % 8 !== 0);
  if (odd !== undefined)
    return new Problem(
      'export-unsupported',
      `The heads of this model are ${odd.headDim} wide; ONNX Runtime's attention needs a multiple of 8.`,
      hint,
    );
  const sizes = new Set(mixers.map(({ keyValueHeads, headDim }) => `${keyValueHeads} heads of ${headDim}`));
  if (sizes.size > 1)
    return new Problem(
      'export-unsupported',
      `The layers of this model keep keys and values of different sizes (${[...sizes].join(', ')}); onnxruntime-genai and transformers.js know only one size.`,
      hint,
    );
  return null;
}
