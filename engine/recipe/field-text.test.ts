import { expect, it } from 'vitest';
import { checkRecipe } from './check.ts';
import { parseFieldText } from './field-text.ts';

it('reads what is typed on the command line as the type of the field', () => {
  expect(parseFieldText('learningRate', '2e-4')).toBe(2e-4);
  expect(parseFieldText('shuffle', 'false')).toBe(false);
  expect(parseFieldText('targetModules', 'q_proj, v_proj')).toEqual(['q_proj', 'v_proj']);
  expect(parseFieldText('layers', '0,3')).toEqual([0, 3]);
  expect(checkRecipe({ rank: parseFieldText('rank', 'many') })).toMatchObject({ errors: [{ key: 'rank' }] });
});
