import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readAdapter } from '../adapters/folder.ts';
import { openModel } from '../models/open.ts';
import { parameterGroups } from './rates.ts';

it('LoRA+ has the groups of PEFT, also for DoRA of an embedding', () => {
  const folder = join(import.meta.dirname, '../golden/lora-dora-all');
  const { shape } = readAdapter(join(folder, 'adapter'), openModel(join(folder, 'model')));
  const groups = parameterGroups(shape, { learningRate: 1e-3, loraplusLrRatio: 8, loraplusLrEmbedding: 2e-3 });
  const found = Object.fromEntries(
    shape.tensors.map(({ name, offset }) => {
      const { rateFactor, decays } = groups.find(({ start }) => start === offset)!;
      return [name.replace(/^base_model\.model\.(model\.)?/, ''), [rateFactor, decays]];
    }),
  );
  expect(found).toMatchObject({
    'embed_tokens.lora_embedding_A': [2, true],
    'embed_tokens.lora_embedding_B': [2, true],
    'embed_tokens.lora_magnitude_vector': [8, true],
    'lm_head.lora_A.weight': [1, true],
    'lm_head.lora_B.weight': [8, true],
    'lm_head.lora_magnitude_vector': [8, true],
    'layers.0.self_attn.q_proj.lora_A.weight': [1, true],
    'layers.0.self_attn.q_proj.lora_B.weight': [8, true],
    'layers.0.self_attn.q_proj.base_layer.bias': [8, false],
  });
});
