import { expect, it } from 'vitest';
import { Arguments } from './command.ts';
import { readRecipe } from './recipe.ts';

const recipeOf = (...set: string[]) => readRecipe(new Arguments({ set }, []));

it('takes every field of --set once, whatever its values', () => {
  expect(recipeOf('rank=4', 'alpha=8')).toEqual({ rank: 4, alpha: 8 });
  for (const again of ['rank=8', 'rank=4'])
    expect(() => recipeOf('rank=4', 'alpha=8', again)).toThrow("--set gives 'rank' more than once.");
  expect(() => recipeOf('r=4', 'rank=8')).toThrow("'r' and 'rank' are the same field");
});

it('refuses a name that every object has', () => {
  expect(() => recipeOf('__proto__=1')).toThrow("'__proto__'");
});
