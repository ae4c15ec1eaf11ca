import { expect, it } from 'vitest';
import { specFromConfig } from '../models/families/index.ts';
import { checkRecipe, type RecipeInput } from '../recipe.ts';
import { plannedShape } from './lora/initial.ts';
import { planAdapter, planMemory } from './memory.ts';

const llama = (config: Record<string, unknown>) =>
  specFromConfig({ model_type: 'llama', max_position_embeddings: 64, vocab_size: 49_152, ...config }, 'config.json');
const planned = (config: Record<string, unknown>, recipe: RecipeInput) => {
  const checked = checkRecipe(recipe);
  if ('errors' in checked) throw new Error(checked.errors[0]!.message);
  return plannedShape(checked.recipe, { spec: llama(config) });
};

it('counts the textbook case: 40,000 x 10,000 at rank 2 trains 100,000 numbers, 1/4000 of the matrix', () => {
  const config = { hidden_size: 10_000, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 40, head_dim: 1000 };
  const linear = { name: 'q_proj', path: 'model.layers.{layer}.self_attn.q_proj', outFeatures: 40_000, inFeatures: 10_000 };
  const plan = planAdapter([linear], planned(config, { rank: 2, targetModules: ['q_proj'] }));
  expect(plan.trainableParameters).toBe(100_000);
  expect((40_000 * 10_000) / plan.trainableParameters).toBe(4000);
});

// SmolLM2-135M
const linears = [
  ['self_attn.q_proj', 576, 576],
  ['self_attn.k_proj', 576, 192],
  ['self_attn.v_proj', 576, 192],
  ['self_attn.o_proj', 576, 576],
  ['mlp.gate_proj', 576, 1536],
  ['mlp.up_proj', 576, 1536],
  ['mlp.down_proj', 1536, 576],
].map(([path, inFeatures, outFeatures]) => ({
  name: String(path).split('.')[1]!,
  path: `model.layers.{layer}.${path}`,
  inFeatures: Number(inFeatures),
  outFeatures: Number(outFeatures),
}));

it('counts chosen matrices of chosen layers as PEFT does', () => {
  const config = {
    ...{ hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, num_attention_heads: 9, num_key_value_heads: 3 },
    tie_word_embeddings: true,
  };
  const plan = (recipe: RecipeInput) => planAdapter(linears, planned(config, { rank: 16, ...recipe }));
  expect(plan({})).toMatchObject({ trainableParameters: 4_884_480, matrices: 210 });
  const some = plan({ targetModules: ['q_proj', 'mlp.down_proj'], layers: [3, 29] });
  expect(some.trainableParameters).toBe(2 * 16 * (576 + 576 + 1536 + 576));
  expect(some.perLinear.filter(({ chosen }) => chosen).map(({ name }) => name)).toEqual(['q_proj', 'down_proj']);
  const more = plan({
    targetModules: ['q_proj'],
    dora: true,
    rankPattern: { 'layers.0.self_attn.q_proj': 4 },
    modulesToSave: ['lm_head'],
  });
  expect(more.trainableParameters).toBe((29 * 16 + 4) * 2 * 576 + 30 * 576 + 49_152 * 576);
  expect(plan({ method: 'full' }).trainableParameters).toBe(134_515_008);
});

it('estimates memory that grows with tokens and shrinks with recomputation, but never with the logits of long rows', () => {
  const model = { parameters: 134_515_008, layers: 30, hiddenSize: 576, vocabularySize: 49_152, linears };
  const plan = (batchSize: number, longest: number, recompute: boolean) =>
    planMemory(model, { batchSize, recompute }, 4_884_480, longest);
  const usual = plan(1, 512, true);
  expect(usual.base).toBe(538_060_032);
  expect(usual.activations).toBeLessThan(plan(1, 512, false).activations / 5);
  expect(plan(2, 512, true).activations).toBe(2 * usual.activations);
  expect(plan(8, 2048, true).logits).toBe(usual.logits);
  const total = usual.base + usual.adapter + usual.activations + usual.logits;
  expect(total).toBeGreaterThan(0.7e9);
  expect(total).toBeLessThan(1.5e9);
});
