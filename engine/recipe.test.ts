import { expect, it } from 'vitest';
import { defaultRecipe, fromSaved, rowSettings, rowSettingKeys } from './recipe.ts';
import { recipeFields, recipeKeys } from './recipe/fields.ts';

it('explains every field', () => {
  for (const key of recipeKeys) {
    const { label, help, why } = recipeFields[key];
    expect(
      [label, help, why].every((text) => text.length > 3),
      key,
    ).toBe(true);
  }
});

it('fills in for a run of before a field what was done then, and leaves out what is no longer a field', () => {
  expect(fromSaved({ precision: 'float32', rank: 3 })).toEqual({
    ...defaultRecipe(),
    addEosToken: false,
    promptFormat: 'text',
    longDocuments: 'cut',
    rank: 3,
  });
  expect(fromSaved({ promptFormat: 'chat' })).toMatchObject({ promptFormat: 'chat', addEosToken: false });
});

it('knows which fields decide the tokens of a row, in an order that does not change', () => {
  // The kept tokens of rows are found by these fields as JSON.
  expect(Object.keys(rowSettings(defaultRecipe()))).toEqual(rowSettingKeys);
  expect(rowSettingKeys).toEqual([
    ...['addEosToken', 'thinking', 'unroll', 'foldSystem', 'media'],
    ...['promptFormat', 'longDocuments', 'documentOverlap'],
  ]);
});
