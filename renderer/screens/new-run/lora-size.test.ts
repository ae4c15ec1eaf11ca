import { expect, test } from 'vitest';
import { specFromConfig } from '../../../engine/models/families/index.ts';
import { defaultRecipe } from '../../../engine/recipe.ts';
import { plannedShape } from '../../../engine/training/lora/initial.ts';
import { planAdapter } from '../../../engine/training/memory.ts';
import { fraction } from '../../ui/format.ts';
import { adapterParameters, adapterShare, chosenBlocks, chosenLinears, textbook } from './lora-size.ts';

test('the textbook matrix trains a four-thousandth of its size', () => {
  expect(adapterParameters(textbook.linear, textbook.rank)).toBe(100_000);
  expect(fraction(adapterShare(textbook.linear, textbook.rank))).toBe('1/4000');
});

test('what is shown while typing is what the engine plans', () => {
  const linears = [
    ...[
      ['q_proj', 576, 576],
      ['k_proj', 192, 576],
      ['v_proj', 192, 576],
      ['o_proj', 576, 576],
    ].map((layer) => ['self_attn', ...layer] as [string, string, number, number]),
    ...[
      ['gate_proj', 1536, 576],
      ['up_proj', 1536, 576],
      ['down_proj', 576, 1536],
    ].map((layer) => ['mlp', ...layer] as [string, string, number, number]),
  ].map(([part, name, outFeatures, inFeatures]) => ({
    ...{ name, path: `model.layers.{layer}.${part}.${name}`, outFeatures, inFeatures },
  }));
  const spec = specFromConfig(
    {
      ...{ model_type: 'llama', hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30 },
      ...{ num_attention_heads: 9, num_key_value_heads: 3, vocab_size: 100, max_position_embeddings: 64 },
    },
    'config.json',
  );
  for (const [targetModules, layers] of [
    ['all-linear', 'all'],
    [['q_proj', 'v_proj'], 'all'],
    [['mlp.down_proj'], [0, 29, 29]],
    ['.*(q|v)_proj', 'all'],
  ] as const) {
    const recipe = { ...defaultRecipe(), rank: 8, targetModules, layers };
    const plan = planAdapter(linears, plannedShape(recipe, { spec }));
    const chosen = chosenLinears(linears, targetModules);
    const blocks = chosenBlocks(30, layers);
    expect(chosen.map(({ name }) => name)).toEqual(plan.perLinear.filter((one) => one.chosen).map(({ name }) => name));
    expect(blocks * chosen.length).toBe(plan.matrices);
    expect(blocks * chosen.reduce((sum, one) => sum + adapterParameters(one, 8), 0)).toBe(plan.trainableParameters);
  }
});
