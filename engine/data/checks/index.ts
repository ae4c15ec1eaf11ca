/**
 * Lists the checks of a data set in the order of a report. A new check is a file here and a row of this table; findings in the
 * text of rows are then kept with their tokens, and the command line and the window list the check.
 */
import { duplicates, leakage, nearDuplicates, nearLeakage } from './alike.ts';
import { answersAlike, everythingTrained } from './answers.ts';
import { controlCharacters, mojibakeText, replacementCharacters } from './characters.ts';
import type { Check, TextCheck } from './check.ts';
import { changedFiles, newFiles, readAs, repeatedValues, unusedColumns } from './columns.ts';
import { missingEnd, paddingEndsTurns, untrainedEnd } from './ends.ts';
import { languageMix } from './language.ts';
import { beyondContext, emptiedByCut, lengthOutliers, trainedInParts, truncated } from './length.ts';
import { personalData } from './personal.ts';
import { asks, leftOut, specialTokens, unrolled, withoutMedia } from './texts-of-the-model.ts';
import { emptyTurns, roleOrder } from './turns.ts';
import { unusable } from './unusable.ts';

export const checks: readonly Check[] = [
  ...[changedFiles, newFiles, unusable],
  ...[missingEnd, untrainedEnd, everythingTrained, leftOut, withoutMedia, specialTokens],
  ...[emptyTurns, roleOrder],
  ...[mojibakeText, replacementCharacters, controlCharacters],
  ...[emptiedByCut, truncated, beyondContext, lengthOutliers],
  ...[duplicates, nearDuplicates, leakage, nearLeakage],
  ...[answersAlike, repeatedValues, languageMix, personalData],
  ...[paddingEndsTurns, trainedInParts, readAs, asks, unrolled, unusedColumns],
];

export const textChecks: readonly TextCheck[] = checks.filter((check) => check.looksAt === 'text');
