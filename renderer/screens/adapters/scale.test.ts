import { expect, it } from 'vitest';
import { defaultRecipe } from '../../../engine/recipe.ts';
import { versionScale } from './scale.ts';

const run = (fields: object) => ({ recipe: { ...defaultRecipe(), rank: 16, alpha: 32, ...fields } });

it('is by the root of the rank for a rank-stabilized adapter', () => {
  expect(versionScale(run({}))).toBe('2');
  expect(versionScale(run({ rslora: true }))).toBe('8');
});

it('tells how far ranks and alphas by module lie apart', () => {
  expect(versionScale(run({ rankPattern: { q_proj: 8 } }))).toBe('2, by module 2 to 4');
});

it('is not guessed for an adapter that no recipe is known of, and there is none after full training', () => {
  expect(versionScale(null)).toBeNull();
  expect(versionScale(run({ method: 'full' }))).toBeNull();
});
