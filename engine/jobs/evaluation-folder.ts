/** Describes the folder of an evaluation: `answers.jsonl`, which grows answer by answer, and at its end `report.json` and `answered.json`. */
import { join } from 'node:path';
import type { EvaluationReport } from '../contract.ts';

/** Returns the path of the answers that are kept; a line is an answer with the key of what was asked (kept-answers.ts). */
export const answersIn = (folder: string): string => join(folder, 'answers.jsonl');
/** Returns the path of the report, an `EvaluationReport`. */
export const reportIn = (folder: string): string => join(folder, 'report.json');
/** Returns the path of all rows with the answers of all contestants, a list of `AnsweredQuestion`. */
export const answeredIn = (folder: string): string => join(folder, 'answered.json');

/** Holds what the host needs of a finished comparison; everything else is in its folder. */
export interface CompareResult {
  readonly verdict: EvaluationReport['verdict'];
}
