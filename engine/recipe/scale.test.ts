import { expect, it } from 'vitest';
import { defaultRecipe } from '../recipe.ts';
import { scaleOf, scaleRange } from './scale.ts';

it('scales by alpha / r, or alpha / √r with rsLoRA, and says how far patterns spread it', () => {
  expect(scaleOf({ rank: 16, alpha: 32, rslora: true })).toBe(8);
  const recipe = { ...defaultRecipe(), rankPattern: { q_proj: 64 }, alphaPattern: { q_proj: 128, v_proj: 8 } };
  expect(scaleRange(recipe)).toEqual({ usual: 2, least: 0.5, most: 2 });
  expect(scaleRange(defaultRecipe())).toEqual({ usual: 2, least: 2, most: 2 });
});
