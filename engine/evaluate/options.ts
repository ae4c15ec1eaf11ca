/** Reads the options of an evaluator, and refuses what it does not have. */
import { nearestWord } from '../nearest-word.ts';
import { Problem } from '../problem.ts';

interface OptionBase {
  /** Says in a sentence what the option does. */
  readonly help: string;
}
interface NumberOption extends OptionBase {
  readonly kind: 'integer';
  readonly least: number;
  /** Gives the value of an option that is left out; without one, the option must be given. */
  readonly otherwise?: number;
}
interface FlagOption extends OptionBase {
  readonly kind: 'flag';
  readonly otherwise: boolean;
}
interface ChoiceOption<T extends string = string> extends OptionBase {
  readonly kind: 'choice';
  readonly of: readonly T[];
  readonly otherwise?: T;
}
interface TextOption extends OptionBase {
  readonly kind: 'text';
  readonly otherwise?: string;
}
interface TextsOption extends OptionBase {
  readonly kind: 'texts';
  readonly otherwise?: readonly string[];
}
interface JsonOption extends OptionBase {
  readonly kind: 'json';
  readonly otherwise?: unknown;
}
export type EvaluatorOption = NumberOption | FlagOption | ChoiceOption | TextOption | TextsOption | JsonOption;
export type OptionTable = Readonly<Record<string, EvaluatorOption>>;

type OptionValue<O> = O extends { kind: 'integer' }
  ? number
  : O extends { kind: 'flag' }
    ? boolean
    : O extends { kind: 'choice'; of: readonly (infer T)[] }
      ? T
      : O extends { kind: 'text' }
        ? string
        : O extends { kind: 'texts' }
          ? readonly string[]
          : unknown;
export type OptionValues<T extends OptionTable> = { readonly [K in keyof T]: OptionValue<T[K]> };

/** Says how texts are compared, for all evaluators that compare some. */
export const textOption = {
  kind: 'choice',
  of: ['exact', 'normalized'],
  otherwise: 'exact',
  help: 'compares texts as they are, or apart from case, white space, forms of letters and punctuation at their ends',
} as const satisfies EvaluatorOption;

/** Reads the options of the evaluator `name`. Throws a `Problem` for one that is unknown, missing or of another kind. */
export function readOptions<T extends OptionTable>(name: string, table: T, given: unknown): OptionValues<T> {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw wrong(`The options of '${name}' are not a JSON object.`, `Write {"OPTION": VALUE}${listed(table)}.`);
  const fields = given as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(fields))
    if (!Object.hasOwn(table, key)) {
      const meant = nearestWord(key, Object.keys(table));
      const hint = meant === null ? `Leave it out${listed(table)}.` : `Did you mean '${meant}'?`;
      throw wrong(`The evaluator '${name}' has no option '${key}'.`, hint);
    }
  const values = Object.entries(table).map(([key, option]): [string, unknown] => {
    const value = Object.hasOwn(fields, key) ? fields[key] : option.otherwise;
    if (value === undefined) throw wrong(`The evaluator '${name}' needs the option '${key}'.`, `It ${option.help}.`);
    const kind = mismatch(option, value);
    if (kind !== null) throw wrong(`The option '${key}' of '${name}' must be ${kind}.`, `It ${option.help}.`);
    return [key, value];
  });
  return Object.fromEntries(values) as OptionValues<T>;
}

function listed(table: OptionTable): string {
  const names = Object.keys(table);
  return names.length === 0 ? '' : `; the options are ${names.join(', ')}`;
}

/** Returns what a value should be, or null when it is that. */
function mismatch(option: EvaluatorOption, value: unknown): string | null {
  switch (option.kind) {
    case 'integer':
      return Number.isSafeInteger(value) && (value as number) >= option.least ? null : `a whole number from ${option.least}`;
    case 'flag':
      return typeof value === 'boolean' ? null : 'true or false';
    case 'choice':
      return (option.of as readonly unknown[]).includes(value) ? null : `one of ${option.of.join(', ')}`;
    case 'text':
      return typeof value === 'string' ? null : 'a text';
    case 'texts':
      return Array.isArray(value) && value.every((one) => typeof one === 'string' && one !== '') ? null : 'a list of texts';
    case 'json':
      return null;
  }
}

function wrong(message: string, hint: string): Problem {
  return new Problem('request-invalid', message, hint);
}
