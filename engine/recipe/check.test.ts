import { describe, expect, it } from 'vitest';
import { defaultRecipe } from '../recipe.ts';
import { checkRecipe, givenFields, requireRecipe } from './check.ts';

const errorsOf = (input: Record<string, unknown>) => {
  const checked = checkRecipe(input);
  return 'errors' in checked ? checked.errors.map(({ message }) => message) : [];
};

describe('a recipe', () => {
  it('is complete and valid by its defaults', () => {
    expect(checkRecipe({})).toEqual({ recipe: defaultRecipe() });
    expect(errorsOf(defaultRecipe())).toEqual([]);
  });

  it('refuses values outside the limits, and says the limits', () => {
    expect(errorsOf({ rank: 0 })[0]).toBe("'rank' is 0; it must be from 1 to 1024.");
    expect(errorsOf({ rank: 1.5 })[0]).toContain('whole number');
    expect(errorsOf({ learningRate: Number.NaN })[0]).toContain('must be a number');
    expect(errorsOf({ schedule: 'exponential' })[0]).toContain('constant, linear, cosine');
    expect(errorsOf({ layers: [-1] })[0]).toContain("'all' or a list");
    expect(errorsOf({ packing: 'yes' })[0]).toBe("'packing' must be true or false.");
    expect(errorsOf({ rank: 0, alpha: 'x' })).toHaveLength(2);
  });
});

it('is complete and checked, or one problem says all that is wrong', () => {
  expect(requireRecipe({ r: 8 })).toEqual({ ...defaultRecipe(), rank: 8 });
  expect(() => requireRecipe({ rnk: 4, batchSize: 0 })).toThrow(/'rnk'.*'batchSize'/);
});

it('knows what was given, by its own names and as it is used', () => {
  const given = { r: 8, recompute: true };
  expect(givenFields(given, requireRecipe(given))).toEqual({ rank: 8, recompute: requireRecipe(given).recompute });
  expect(givenFields({}, defaultRecipe())).toEqual({});
});
