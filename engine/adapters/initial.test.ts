/** How much a recipe trains, before anything of it is made. */
import { expect, it } from 'vitest';
import { specFromConfig } from '../models/families/index.ts';
import type { RecipeInput } from '../recipe.ts';
import { requireRecipe } from '../recipe/check.ts';
import { plannedShape } from './initial.ts';

const planned = (config: Record<string, unknown>, recipe: RecipeInput) => {
  const whole = { model_type: 'llama', max_position_embeddings: 64, vocab_size: 49_152, ...config };
  return plannedShape(requireRecipe(recipe), { spec: specFromConfig(whole, 'config.json') });
};

it('counts the textbook case: 40,000 x 10,000 at rank 2 trains 100,000 numbers, 1/4000 of the matrix', () => {
  const config = { hidden_size: 10_000, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 40, head_dim: 1000 };
  const { length } = planned(config, { rank: 2, targetModules: ['q_proj'] });
  expect(length).toBe(100_000);
  expect((40_000 * 10_000) / length).toBe(4000);
});

it('counts chosen matrices of chosen layers as PEFT does', () => {
  // SmolLM2-135M
  const config = {
    ...{ hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, num_attention_heads: 9, num_key_value_heads: 3 },
    tie_word_embeddings: true,
  };
  const plan = (recipe: RecipeInput) => planned(config, { rank: 16, ...recipe });
  expect(plan({})).toMatchObject({ length: 4_884_480, modules: { length: 210 } });
  const some = plan({ targetModules: ['q_proj', 'mlp.down_proj'], layers: [3, 29] });
  expect(some.length).toBe(2 * 16 * (576 + 576 + 1536 + 576));
  expect(some.modules.map(({ path }) => path.replace(/^.*\.(?=\w+\.\w+$)/, ''))).toEqual([
    'self_attn.q_proj',
    'mlp.down_proj',
    'self_attn.q_proj',
    'mlp.down_proj',
  ]);
  const more = plan({
    targetModules: ['q_proj'],
    dora: true,
    rankPattern: { 'layers.0.self_attn.q_proj': 4 },
    modulesToSave: ['lm_head'],
  });
  expect(more.length).toBe((29 * 16 + 4) * 2 * 576 + 30 * 576 + 49_152 * 576);
  expect(plan({ method: 'full' }).length).toBe(134_515_008);
});
