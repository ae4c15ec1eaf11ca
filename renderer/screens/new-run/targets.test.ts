import { expect, test } from 'vitest';
import { attention, choiceOf, keyOf, meant, queryAndValue, rankIn, withTick } from './targets.ts';

const gpt2 = [
  { target: 'transformer.wte', part: 'embedding' },
  { target: 'c_attn', part: 'mixer' },
  { target: 'attn.c_proj', part: 'mixer' },
  { target: 'c_fc', part: 'feed-forward' },
  { target: 'mlp.c_proj', part: 'feed-forward' },
  { target: 'lm_head', part: 'head' },
] as const;

test('choices are those of the family at hand', () => {
  expect(attention(gpt2)).toEqual(['c_attn', 'attn.c_proj']);
  expect(queryAndValue(gpt2)).toEqual([]);
  expect(choiceOf('all-linear', gpt2)).toBe('all');
  expect(choiceOf(['attn.c_proj', 'c_attn'], gpt2)).toBe('attention');
  expect(choiceOf(['c_fc'], gpt2)).toBe('ticks');
  expect(choiceOf('.*c_fc', gpt2)).toBe('pattern');
  expect(choiceOf(['q_proj'], gpt2)).toBe('pattern');
});

test('ticks keep the order of the model, and all linear layers have a name', () => {
  const all = ['c_attn', 'attn.c_proj', 'c_fc', 'mlp.c_proj'];
  expect(withTick(gpt2, all, 'c_fc')).toEqual(['c_attn', 'attn.c_proj', 'mlp.c_proj']);
  expect(withTick(gpt2, ['mlp.c_proj', 'c_fc', 'c_attn'], 'attn.c_proj')).toBe('all-linear');
  expect(withTick(gpt2, all, 'lm_head')).toEqual([...all, 'lm_head']);
});

test('what is meant by names is known without the engine, less what is left out; a pattern waits for it', () => {
  const modules = [
    { target: 'q_proj', part: 'mixer', path: 'model.layers.{layer}.self_attn.q_proj', ranks: [0, 8] },
    { target: 'up_proj', part: 'feed-forward', path: 'model.layers.{layer}.mlp.up_proj', ranks: [0, 0] },
    { target: 'lm_head', part: 'head', path: 'lm_head', ranks: [0] },
  ] as const;
  expect(meant(modules, 'all-linear', ['mlp.up_proj'])).toEqual(['q_proj']);
  expect(meant(modules, ['lm_head', 'up_proj'], [])).toEqual(['up_proj', 'lm_head']);
  expect(meant(modules, '.*_proj', [])).toEqual(['q_proj']);
  expect(meant(modules, 'all-linear', '.*up.*')).toEqual(['q_proj']);
});

test('matrices of one name and several sizes are ticked together, and each has its rank in its own layers', () => {
  const modules = [
    { target: 'q_proj', part: 'mixer', path: 'model.layers.{layer}.self_attn.q_proj', layers: [0, 2], ranks: [8, 0] },
    { target: 'q_proj', part: 'mixer', path: 'model.layers.{layer}.self_attn.q_proj', layers: [1], ranks: [4] },
    { target: 'up_proj', part: 'feed-forward', path: 'model.layers.{layer}.mlp.up_proj', layers: [0, 1, 2], ranks: [0, 0, 0] },
  ] as const;
  expect(meant(modules, ['q_proj'], [])).toEqual(['q_proj']);
  expect(withTick(modules, ['q_proj'], 'up_proj')).toBe('all-linear');
  expect(choiceOf(['q_proj'], modules)).toBe('attention');
  expect([0, 1, 2].map((layer) => modules.map((module) => rankIn(module, layer)))).toEqual([
    [8, 0, 0],
    [0, 4, 0],
    [0, 0, 0],
  ]);
  expect(new Set(modules.map(keyOf)).size).toBe(3);
});
