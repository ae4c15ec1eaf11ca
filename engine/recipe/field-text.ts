/** Reads values of fields from text, as `--set` and the form take it, and writes them as such text. */
import type { NamesField } from './field.ts';
import { recipeFields, type RecipeKey } from './fields.ts';
import { otherNames } from './other-names.ts';

/**
 * Reads a value typed on the command line (`key=value`) as the field's own type. Text that does not fit is returned as text,
 * for `checkRecipe` to refuse.
 */
export function parseFieldText(name: string, text: string): unknown {
  const key = Object.hasOwn(otherNames, name) ? otherNames[name]!.key : name;
  const field = Object.hasOwn(recipeFields, key) ? recipeFields[key as RecipeKey] : undefined;
  if (field?.kind === 'integer' && field.wasBoolean && /^(true|false)$/.test(text)) return text === 'true';
  if (field?.kind === 'number' || field?.kind === 'integer')
    return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
  if (field?.kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (field?.kind === 'names') return parseNames(field, text);
  if (field?.kind === 'map') return parseMap(text);
  if (field?.kind === 'layers')
    return text === 'all' ? text : text.split(',').map((layer) => (layer.trim() === '' ? layer : Number(layer)));
  return text;
}

/** Reads `all-linear`, names between commas, or a regular expression, which is recognized by a character that no name has. */
function parseNames({ allows }: NamesField, text: string): string | string[] {
  if (text === 'all-linear' || (allows.expression && /[\\^$*+?()[\]{}|]/.test(text))) return text;
  return text.trim() === '' ? [] : text.split(',').map((name) => name.trim());
}

/** Reads `q_proj:8, v_proj:4`, or JSON where a name has a comma or colon in it. Text that is neither is returned as it is. */
function parseMap(text: string): unknown {
  if (text.trim().startsWith('{'))
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  const pairs = text.split(',').filter((pair) => pair.trim() !== '');
  const entries = pairs.map((pair) => {
    const colon = pair.lastIndexOf(':');
    return [pair.slice(0, colon).trim(), Number(pair.slice(colon + 1))] as const;
  });
  return entries.some(([name, value]) => name === '' || Number.isNaN(value)) ? text : Object.fromEntries(entries);
}

/** Formats a value so that `parseFieldText` reads it back. */
export function formatFieldText(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return String(value);
  const entries = Object.entries(value);
  if (entries.some(([name]) => /[,:]/.test(name))) return JSON.stringify(value);
  return entries.map(([name, number]) => `${name}:${number}`).join(', ');
}
