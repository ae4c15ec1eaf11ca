/** Lists the kinds of evaluators in a table, and opens them with their options. */
import type { EvaluatorChoice, EvaluatorInfo } from '../contract.ts';
import { nearestWord } from '../nearest-word.ts';
import { Problem } from '../problem.ts';
import { choice } from './choice.ts';
import { chrf } from './chrf.ts';
import { contains, notContains } from './contains.ts';
import type { Evaluator, EvaluatorKind, LearningRows } from './evaluator.ts';
import { exactMatch } from './exact-match.ts';
import { json } from './json.ts';
import { jsonFields, jsonValues } from './json-fields.ts';
import { jsonSchema } from './json-schema.ts';
import { language } from './language.ts';
import { length } from './length.ts';
import { loss } from './loss.ts';
import { markers } from './markers.ts';
import { refusal } from './refusal.ts';
import { regex } from './regex.ts';
import { rougeL } from './rouge-l.ts';
import { script } from './script.ts';
import { styleDistance } from './style-distance.ts';
import { toolCalls } from './tool-calls.ts';

export const evaluators: readonly EvaluatorKind[] = [
  loss,
  ...[json, jsonSchema, jsonFields, jsonValues, toolCalls],
  ...[exactMatch, contains, notContains, regex, rougeL, chrf],
  ...[length, language, refusal],
  ...[markers, styleDistance],
  ...[choice, script],
];

/**
 * Opens the evaluators that were chosen, in the given order and without repetitions. Throws a `Problem` for a name or an option
 * that does not exist, and for one evaluator with two sets of options: their measures would have the same name.
 */
export async function openEvaluators(choices: readonly EvaluatorChoice[], learning?: LearningRows): Promise<Evaluator[]> {
  const chosen = new Map<string, { readonly kind: EvaluatorKind; readonly options: unknown }>();
  for (const choice of choices) {
    const { name, options } = typeof choice === 'string' ? { name: choice, options: {} } : choice;
    const before = chosen.get(name);
    if (before !== undefined && JSON.stringify(before.options) !== JSON.stringify(options))
      throw new Problem('request-invalid', `The evaluator '${name}' is chosen twice.`, 'Give it one set of options.');
    chosen.set(name, { kind: kindNamed(name), options });
  }
  const opened: Evaluator[] = [];
  for (const { kind, options } of chosen.values()) opened.push(await kind.open(options, learning));
  return opened;
}

/** Describes all kinds, for whoever chooses among them. */
export function evaluatorInfos(): EvaluatorInfo[] {
  return evaluators.map(({ name, needs, summary, learns, options }) => ({
    ...{ name, needs, summary, learns },
    options: Object.entries(options).map(([option, info]) => ({ name: option, ...info })),
  }));
}

/** Returns the kind of evaluator with this name. */
export function kindNamed(name: string): EvaluatorKind {
  const known = evaluators.find((kind) => kind.name === name);
  if (known !== undefined) return known;
  const names = evaluators.map((kind) => kind.name);
  const meant = nearestWord(name, names);
  const hint = meant === null ? 'Use one of' : `Did you mean '${meant}'? There are`;
  throw new Problem('request-invalid', `There is no evaluator '${name}'.`, `${hint} ${names.join(', ')}.`);
}
