import { expect, it } from 'vitest';
import { planAdapter, planMemory } from './memory.ts';

it('counts the textbook case: 40,000 x 10,000 at rank 2 trains 100,000 numbers, 1/4000 of the matrix', () => {
  const linear = { name: 'q_proj', path: 'model.layers.{layer}.self_attn.q_proj', outFeatures: 40_000, inFeatures: 10_000 };
  const plan = planAdapter([linear], 1, { rank: 2, targetModules: ['q_proj'], layers: 'all' });
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
  const recipe = { rank: 16, targetModules: 'all-linear', layers: 'all' } as const;
  expect(planAdapter(linears, 30, recipe)).toMatchObject({ trainableParameters: 4_884_480, matrices: 210 });
  const some = planAdapter(linears, 30, { ...recipe, targetModules: ['q_proj', 'mlp.down_proj'], layers: [3, 29, 30] });
  expect(some.trainableParameters).toBe(2 * 16 * (576 + 576 + 1536 + 576));
  expect(some.perLinear.filter(({ chosen }) => chosen).map(({ name }) => name)).toEqual(['q_proj', 'down_proj']);
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
