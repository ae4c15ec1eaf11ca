/** Defines the kinds of fields that a recipe can have: what a row of the table says of a field, and which values fit each kind. */
import { isExpression } from './module-expression.ts';

interface FieldBase {
  readonly label: string;
  /** Says what the field does, in one sentence a newcomer understands. */
  readonly help: string;
  /** Says why the default is what it is, with its source where there is one. */
  readonly why: string;
  readonly group: 'adapter' | 'optimizer' | 'data' | 'run' | 'engine';
  /** Marks a field that decides which tokens a row becomes, or into which examples it is divided. */
  readonly decidesTokens?: true;
}
interface NumberField extends FieldBase {
  readonly kind: 'number' | 'integer';
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  /** Marks a field that was a yes or no in earlier recipes, which are still read: `true` is read as `max`, `false` as `min`. */
  readonly wasBoolean?: true;
}
interface BooleanField extends FieldBase {
  readonly kind: 'boolean';
  readonly default: boolean;
  /** Says what was done before this field existed, where that is not the default. */
  readonly before?: boolean;
}
interface ChoiceField extends FieldBase {
  readonly kind: 'choice';
  readonly default: string;
  /** Says what was done before this field existed, where that is not the default. */
  readonly before?: string;
  readonly choices: readonly string[];
  /** Allows further values by a rule, such as a number at the end of a name. */
  readonly pattern?: { readonly matches: RegExp; readonly written: string };
}
/**
 * Describes a field with a list of names or, where it allows an expression, a single string: `all-linear` or a regular
 * expression for whole module paths.
 */
export interface NamesField extends FieldBase {
  readonly kind: 'names';
  readonly default: 'all-linear' | readonly string[];
  /** Says whether an empty list is allowed, and whether `all-linear` or a regular expression is. */
  readonly allows: { readonly none: boolean; readonly expression: boolean };
}
/** Describes a field with numbers by name or regular expression; the first that matches counts. */
interface MapField extends FieldBase {
  readonly kind: 'map';
  readonly default: Readonly<Record<string, number>>;
  readonly integer: boolean;
  readonly min: number;
  readonly max: number;
}
/** Describes a field with a list of layers, counted from 0, or `all`. */
interface LayersField extends FieldBase {
  readonly kind: 'layers';
  readonly default: 'all' | readonly number[];
}
/** Describes a field with a day of the calendar, such as 2026-07-15, or nothing. */
interface DateField extends FieldBase {
  readonly kind: 'date';
  readonly default: '';
}
export type RecipeField = NumberField | BooleanField | ChoiceField | NamesField | MapField | LayersField | DateField;

/** Gives the type of the values of a field, by its row in the table. */
export type FieldValue<F> = F extends { kind: 'number' | 'integer' }
  ? number
  : F extends { kind: 'boolean' }
    ? boolean
    : F extends { kind: 'choice'; pattern: object }
      ? string
      : F extends { kind: 'choice'; choices: readonly (infer C)[] }
        ? C
        : F extends { kind: 'names'; allows: { expression: infer E } }
          ? E extends true
            ? string | readonly string[]
            : readonly string[]
          : F extends { kind: 'map' }
            ? Readonly<Record<string, number>>
            : F extends { kind: 'layers' }
              ? 'all' | readonly number[]
              : F extends { kind: 'date' }
                ? string
                : never;

/** Returns null when `value` fits the field, otherwise a sentence that names the limit. */
export function checkField(key: string, field: RecipeField, value: unknown): string | null {
  switch (field.kind) {
    case 'number':
    case 'integer': {
      if (field.wasBoolean && typeof value === 'boolean') return null;
      const range = `${field.min} to ${field.max}`;
      if (typeof value !== 'number' || !Number.isFinite(value)) return `'${key}' must be a number from ${range}.`;
      if (field.kind === 'integer' && !Number.isInteger(value)) return `'${key}' must be a whole number from ${range}.`;
      if (value < field.min || value > field.max) return `'${key}' is ${value}; it must be from ${range}.`;
      return null;
    }
    case 'boolean':
      return typeof value === 'boolean' ? null : `'${key}' must be true or false.`;
    case 'choice':
      return typeof value === 'string' && (field.choices.includes(value) || field.pattern?.matches.test(value) === true)
        ? null
        : `'${key}' must be one of ${[...field.choices, ...(field.pattern ? [field.pattern.written] : [])].join(', ')}.`;
    case 'names': {
      const { none, expression } = field.allows;
      if (expression && typeof value === 'string')
        return value === 'all-linear' || isExpression(value) ? null : `'${key}' is not a regular expression: ${value}`;
      return Array.isArray(value) &&
        (none || value.length > 0) &&
        value.every((name) => typeof name === 'string' && name !== '')
        ? null
        : `'${key}' must be ${expression ? "'all-linear', a regular expression or a list" : 'a list'} of names.`;
    }
    case 'map': {
      const wanted = `${field.integer ? 'a whole number' : 'a number'} from ${field.min} to ${field.max}`;
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        return `'${key}' must give names ${wanted}, such as q_proj:${field.max > 8 ? 8 : field.max}.`;
      for (const [name, number] of Object.entries(value as Record<string, unknown>)) {
        if (!isExpression(name)) return `'${key}' has a name that is not a regular expression: ${name}`;
        const fits = typeof number === 'number' && number >= field.min && number <= field.max;
        if (!fits || (field.integer && !Number.isInteger(number))) return `'${key}' must give '${name}' ${wanted}.`;
      }
      return null;
    }
    case 'date':
      return value === '' || isDay(value) ? null : `'${key}' must be a day such as 2026-07-15, or empty.`;
    case 'layers':
      return value === 'all' ||
        (Array.isArray(value) && value.length > 0 && value.every((layer) => Number.isInteger(layer) && (layer as number) >= 0))
        ? null
        : `'${key}' must be 'all' or a list of layer numbers from 0.`;
  }
}

/** Returns whether a value is a day of the calendar, written as 2026-07-15. */
export function isDay(value: unknown): value is string {
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(value) || Number.isNaN(Date.parse(value))) return false;
  // A 31st of June would be read as the 1st of July.
  return new Date(value).toISOString().startsWith(value);
}
