import { formatFieldText, type RecipeField } from '../../../engine/recipe.ts';
import { count, figure } from '../../ui/format.ts';

/** A recipe value as shown beside its label. */
export function fieldText(field: RecipeField, value: unknown): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'number') return field.kind === 'integer' ? count(value) : figure(value);
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  if (typeof value === 'object') return formatFieldText(value) || 'none';
  return String(value).replace('all-linear', 'all linear');
}

/** The same value, exactly, as typed into its control: `2e-4`. */
export function inputText(value: unknown): string {
  if (typeof value === 'number' && value !== 0 && Math.abs(value) < 1e-3) return value.toExponential();
  return formatFieldText(value);
}
