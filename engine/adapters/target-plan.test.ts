import { expect, test } from 'vitest';
import { specFromConfig } from '../models/families/index.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { defaultRecipe } from '../recipe.ts';
import { mixedSpec } from '../testing/mixed-blocks.ts';
import { planTargets } from './target-plan.ts';

const llama: DecoderSpec = specFromConfig(
  {
    ...{ model_type: 'llama', hidden_size: 64, intermediate_size: 160, num_hidden_layers: 3, vocab_size: 100 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, tie_word_embeddings: true },
  },
  'config.json',
);
const gpt2 = specFromConfig({ model_type: 'gpt2', n_embd: 32, n_head: 4, n_layer: 2, vocab_size: 100 }, 'config.json');
const plan = (spec: DecoderSpec, recipe: object) => planTargets({ ...defaultRecipe(), ...recipe }, spec);

test('modules carry their rank and scale in every layer, and each pattern says for how many it decides', () => {
  const { modules, rankMatches, alphaMatches } = plan(llama, {
    ...{ rank: 8, alpha: 16, layers: [0, 2], targetModules: ['q_proj', 'down_proj', 'lm_head'] },
    ...{ rankPattern: { 'layers.2.mlp.down_proj': 4, 'q_proj|down_proj': 2, v_proj: 6 }, alphaPattern: { q_proj: 1 } },
  });
  const of = (target: string) => modules.find((one) => one.target === target)!;
  expect(of('q_proj')).toMatchObject({ ranks: [2, 0, 2], scales: [0.5, 0, 0.5], part: 'mixer', last: false });
  expect(of('down_proj')).toMatchObject({ ranks: [2, 0, 4], scales: [8, 0, 4], part: 'feed-forward', last: true });
  // A whole path counts whatever the layers.
  expect(of('lm_head')).toMatchObject({ ranks: [8], inFeatures: 64, outFeatures: 100, part: 'head' });
  expect(of('k_proj').ranks).toEqual([0, 0, 0]);
  expect(rankMatches).toEqual({ 'layers.2.mlp.down_proj': 1, 'q_proj|down_proj': 3, v_proj: 0 });
  expect(alphaMatches).toEqual({ q_proj: 2 });
});

test('a name that two modules end with is told apart by what it lies in', () => {
  const { modules, blocks } = plan(gpt2, {});
  const targets = ['transformer.wte', 'c_attn', 'attn.c_proj', 'c_fc', 'mlp.c_proj', 'lm_head'];
  expect(modules.map(({ target }) => target)).toEqual(targets);
  expect(blocks).toEqual([
    {
      ...{ layers: [0, 1], norms: ['mixer', 'feed-forward'], parallel: false },
      mixer: { kind: 'attention', heads: 4, keyValueHeads: 4 },
    },
  ]);
  // Each name chooses itself and nothing else.
  for (const target of targets) {
    const chosen = plan(gpt2, { targetModules: [target] }).modules.filter(({ ranks }) => ranks.some((rank) => rank > 0));
    expect(chosen.map((one) => one.target)).toEqual([target]);
  }
});

test('a matrix of several sizes is there once for each, with the layers that have it; one name chooses all', () => {
  const { modules, blocks } = plan(mixedSpec, { rank: 2, targetModules: ['q_proj', 'o_proj'], layers: [1, 2] });
  const sizes = modules
    .filter(({ target }) => target === 'q_proj' || target === 'up_proj')
    .map(({ target, layers, outFeatures, ranks }) => ({ target, layers, outFeatures, ranks }));
  expect(sizes).toEqual([
    { target: 'q_proj', layers: [0, 1, 2, 3], outFeatures: 32, ranks: [0, 2, 2, 0] },
    { target: 'up_proj', layers: [0, 1, 3], outFeatures: 48, ranks: [0, 0, 0] },
    { target: 'up_proj', layers: [2], outFeatures: 80, ranks: [0] },
  ]);
  expect(blocks.map(({ layers, norms, mixer }) => ({ layers, norms, heads: mixer.heads }))).toEqual([
    { layers: [0, 1, 3], norms: ['mixer', 'feed-forward'], heads: 4 },
    { layers: [2], norms: ['mixer', 'heads', 'feed-forward'], heads: 2 },
  ]);
});
