/** Names the evaluators of a request, without the table of evaluators. */
import type { EvaluatorChoice } from '../contract.ts';

/** Returns the name of an evaluator that was chosen alone or with options. */
export function nameOfChoice(choice: EvaluatorChoice): string {
  return typeof choice === 'string' ? choice : choice.name;
}
