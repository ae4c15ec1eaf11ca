/**
 * Builds a model whose blocks differ in everything that blocks may differ in: sizes of attention and feed-forward, window,
 * rotary embedding, norms.
 */
import { join } from 'node:path';
import { specFromConfig } from '../models/families/index.ts';
import { attentionOf } from '../models/mixers/index.ts';
import { openModel, withParts, type OpenModel } from '../models/open.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { randomWeights } from '../training/trial.ts';

const llama = specFromConfig(
  {
    ...{ model_type: 'llama', hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4, vocab_size: 64 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64 },
  },
  'config.json',
);

/**
 * Describes the model. Blocks 0, 1 and 3 look back three tokens with four heads; block 2 looks at all tokens with two wide
 * heads and normalizes its queries and keys.
 */
export const mixedSpec: DecoderSpec = {
  ...llama,
  ropes: [llama.ropes[0]!, { ...llama.ropes[0]!, theta: 1_000_000, dimension: 16 }],
  blocks: llama.blocks.map((block, layer) => {
    const mixer = attentionOf(block);
    if (layer !== 2) return { ...block, mixer: { ...mixer, window: 3 } };
    const { feedForward, names, norm } = block;
    return {
      ...block,
      mixer: {
        ...mixer,
        ...{ heads: 2, keyValueHeads: 1, headDim: 16, rope: 1, scoreScale: 1 / 4, queryKeyNorm: { over: 'head', norm } },
      },
      feedForward: { ...feedForward, intermediateSize: 80 },
      names: { ...names, attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' },
    };
  }),
};

/** Opens that model with random weights, which it writes into the folder. */
export function mixedModel(folder: string): OpenModel {
  const any = openModel(join(import.meta.dirname, '../golden/llama-tied/model'));
  return withParts(any, { spec: mixedSpec, weights: randomWeights({ spec: mixedSpec, quantization: 'none' }, folder) });
}
