/** Turns what a person types for the options of an evaluator into values, and back. */
import type { EvaluatorOptionInfo } from '../../../engine/contract.ts';

export type OptionTexts = Readonly<Record<string, string>>;

/** Says what is wrong with a text, or returns null. An empty one leaves the option out, where it may be. */
export function optionFault({ kind, least = 0, otherwise }: EvaluatorOptionInfo, text: string): string | null {
  if (text.trim() === '') return otherwise === undefined ? 'It must be given.' : null;
  if (kind === 'integer')
    return /^\d{1,9}$/.test(text.trim()) && Number(text) >= least ? null : `A whole number from ${least}.`;
  if (kind === 'json') return isJson(text) ? null : 'This is not JSON.';
  return null;
}

/** Returns the values of the options that were given. */
export function optionsOf(options: readonly EvaluatorOptionInfo[], texts: OptionTexts): Record<string, unknown> {
  const given = options.flatMap((option): [string, unknown][] => {
    const text = texts[option.name] ?? '';
    if (text.trim() === '' || optionFault(option, text) !== null) return [];
    return [[option.name, valueOf(option, text)]];
  });
  return Object.fromEntries(given);
}

function valueOf({ kind }: EvaluatorOptionInfo, text: string): unknown {
  switch (kind) {
    case 'integer':
      return Number(text);
    case 'flag':
      return text === 'true';
    case 'json':
      return JSON.parse(text) as unknown;
    case 'texts':
      return text.split('\n').filter((line) => line.trim() !== '');
    case 'choice':
    case 'text':
      return text;
  }
}

/** Returns the texts that stand for values. */
export function textsOf(values: Readonly<Record<string, unknown>>): OptionTexts {
  const entries = Object.entries(values).map(([name, value]) => {
    if (typeof value === 'string') return [name, value] as const;
    const isTexts = Array.isArray(value) && value.every((one) => typeof one === 'string');
    return [name, isTexts ? value.join('\n') : JSON.stringify(value, null, 2)] as const;
  });
  return Object.fromEntries(entries);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
