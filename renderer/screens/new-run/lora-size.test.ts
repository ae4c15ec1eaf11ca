import { expect, test } from 'vitest';
import { planAdapter } from '../../../engine/training/memory.ts';
import { fraction } from '../../ui/format.ts';
import { adapterParameters, adapterShare, chosenBlocks, chosenLinears, textbook } from './lora-size.ts';

test('the textbook matrix trains a four-thousandth of its size', () => {
  expect(adapterParameters(textbook.linear, textbook.rank)).toBe(100_000);
  expect(fraction(adapterShare(textbook.linear, textbook.rank))).toBe('1/4000');
});

test('what is shown while typing is what the engine plans', () => {
  const linears = [
    { name: 'q_proj', path: 'model.layers.{layer}.self_attn.q_proj', outFeatures: 576, inFeatures: 576 },
    { name: 'v_proj', path: 'model.layers.{layer}.self_attn.v_proj', outFeatures: 192, inFeatures: 576 },
    { name: 'down_proj', path: 'model.layers.{layer}.mlp.down_proj', outFeatures: 576, inFeatures: 1536 },
  ];
  for (const [targetModules, layers] of [
    ['all-linear', 'all'],
    [['q_proj', 'v_proj'], 'all'],
    [['mlp.down_proj'], [0, 29, 29, 30]],
    [['proj'], [1]],
  ] as const) {
    const plan = planAdapter(linears, 30, { rank: 8, targetModules, layers });
    const chosen = chosenLinears(linears, targetModules);
    const blocks = chosenBlocks(30, layers);
    expect(chosen.map(({ name }) => name)).toEqual(plan.perLinear.filter((one) => one.chosen).map(({ name }) => name));
    expect(blocks * chosen.length).toBe(plan.matrices);
    expect(blocks * chosen.reduce((sum, one) => sum + adapterParameters(one, 8), 0)).toBe(plan.trainableParameters);
  }
});
