import { formatFieldText } from '../../../engine/recipe/field-text.ts';
import type { RecipeField } from '../../../engine/recipe/field.ts';
import { scaleRange, type ScaledRecipe } from '../../../engine/recipe/scale.ts';
import { count, figure } from '../../ui/format.ts';

/** Writes a recipe value as it is shown beside its label. */
export function fieldText(field: RecipeField, value: unknown): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'number') return field.kind === 'integer' ? count(value) : figure(value);
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  if (typeof value === 'object') return formatFieldText(value) || 'none';
  return String(value).replace('all-linear', 'all linear');
}

/** Writes the scale s of a recipe. Where ranks or alphas are given by name, it writes the range over the modules. */
export function scaleText(recipe: ScaledRecipe): string {
  const { usual, least, most } = scaleRange(recipe);
  return least === most ? figure(usual) : `${figure(usual)}, by module ${figure(least)} to ${figure(most)}`;
}

/** Writes a value exactly, as it is typed into its control: `2e-4`. */
export function inputText(value: unknown): string {
  if (typeof value === 'number' && value !== 0 && Math.abs(value) < 1e-3) return value.toExponential();
  return formatFieldText(value);
}
