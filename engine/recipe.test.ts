import { describe, expect, it } from 'vitest';
import { checkRecipe, defaultRecipe, parseFieldText, recipeFields, recipeKeys } from './recipe.ts';

const errorsOf = (input: Record<string, unknown>) => {
  const checked = checkRecipe(input);
  return 'errors' in checked ? checked.errors.map(({ message }) => message) : [];
};

describe('a recipe', () => {
  it('is complete and valid by its defaults', () => {
    expect(checkRecipe({})).toEqual({ recipe: defaultRecipe() });
    expect(errorsOf(defaultRecipe())).toEqual([]);
  });

  it('names the nearest field for an unknown key', () => {
    expect(errorsOf({ learningrate: 1e-3 })[0]).toContain("the nearest is 'learningRate'");
    expect(errorsOf({ batch: 1 })[0]).toContain("no recipe field 'batch'");
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

  it('reads what is typed on the command line as the type of the field', () => {
    expect(parseFieldText('learningRate', '2e-4')).toBe(2e-4);
    expect(parseFieldText('shuffle', 'false')).toBe(false);
    expect(parseFieldText('targetModules', 'q_proj, v_proj')).toEqual(['q_proj', 'v_proj']);
    expect(parseFieldText('layers', '0,3')).toEqual([0, 3]);
    expect(errorsOf({ rank: parseFieldText('rank', 'many') })).toHaveLength(1);
  });

  it('explains every field', () => {
    for (const key of recipeKeys) {
      const { label, help, why } = recipeFields[key];
      expect(
        [label, help, why].every((text) => text.length > 3),
        key,
      ).toBe(true);
    }
  });
});
