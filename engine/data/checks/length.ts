/** Checks the length of rows. */
import type { Fix } from '../../contract.ts';
import type { AskedSet, Finding, SetCheck } from './check.ts';
import { fewestForShare, type FoundRows, percentOf } from './found-rows.ts';

const inTokens = (tokens: number): string => `${tokens.toLocaleString('en-US')} tokens`;

/** Returns the fix that raises the maximum length, up to the context that the model was made for. */
const raised = ({ facts, maxLength, context }: AskedSet): Fix =>
  maxLength >= context ? { kind: 'exclude' } : { kind: 'raise-length', to: Math.min(facts.longest, context) };
const advice = ({ isAtLimit, maxLength, context }: AskedSet): string => {
  if (isAtLimit) return 'The model has no more positions: shorten';
  return maxLength >= context
    ? `The model was made for ${inTokens(context)} at the most: shorten`
    : 'Raise the maximum length or shorten';
};

/** Returns whether the end of an example is lost. A long document may be trained in parts instead. */
const isCut = ({ maxLength, documentOverlap }: AskedSet, tokens: number, isDocument: boolean): boolean =>
  tokens > maxLength && !(isDocument && documentOverlap !== null);

/** Returns the rows that training truncates. */
export function rowsCut(asked: AskedSet): FoundRows {
  return asked.facts.rowsWhere(({ tokens, isDocument }) => isCut(asked, tokens, isDocument));
}

export const emptiedByCut: SetCheck = {
  ...{ looksAt: 'set', name: 'no-trained-token', severity: 'warning', fix: { kind: 'raise-length', to: 0 } },
  why: 'Nothing is learned from such a row, and its tokens still take time.',
  ask: (asked) => {
    const { facts, maxLength } = asked;
    const found = facts.rowsWhere(
      ({ tokens, firstTrained, isDocument }) => isCut(asked, tokens, isDocument) && firstTrained >= maxLength,
    );
    return found.count === 0
      ? null
      : {
          found,
          fix: raised(asked),
          title: `${found.counted} with nothing left to train on`,
          detail: `At ${inTokens(maxLength)} the cut comes before the first answer. ${advice(asked)} them.`,
        };
  },
};

export const truncated: SetCheck = {
  ...{ looksAt: 'set', name: 'truncated', severity: 'warning', fix: { kind: 'raise-length', to: 0 } },
  why: 'What is cut off is not learned: an answer that is cut teaches the model to stop nowhere.',
  ask: (asked) => {
    const { facts, maxLength } = asked;
    const found = rowsCut(asked);
    if (found.count === 0)
      return facts.longest > maxLength
        ? null
        : {
            severity: 'passed',
            title: `Every row fits ${inTokens(maxLength)}`,
            detail: `The longest has ${facts.longest}.`,
          };
    const lost = facts.tokensBeyond(maxLength, asked.documentOverlap !== null);
    const cutAnswers = facts.rowsWhere(
      ({ tokens, lastTrained, isDocument }) => isCut(asked, tokens, isDocument) && lastTrained >= maxLength,
    ).count;
    const answers = cutAnswers === 0 ? 'no trained token among them' : `trained ones among them in ${cutAnswers} of the rows`;
    return {
      found,
      fix: raised(asked),
      title: `${found.counted} longer than ${inTokens(maxLength)}`,
      detail: `Training cuts them at the right: ${percentOf(found.count, facts.usable)} of the rows. ${inTokens(lost)} at their ends are lost (${percentOf(lost, facts.tokens)}), ${answers}. ${advice(asked)} them to keep them whole.`,
    };
  },
};

export const trainedInParts: SetCheck = {
  ...{ looksAt: 'set', name: 'trained-in-parts', severity: 'note', fix: null },
  why: 'A long document is trained whole, part by part.',
  ask: ({ facts, maxLength, documentOverlap }) => {
    const found = facts.rowsWhere(({ tokens, isDocument }) => documentOverlap !== null && isDocument && tokens > maxLength);
    return found.count === 0
      ? null
      : {
          ...{ found, severity: 'passed' },
          title: `${found.count} long ${found.count === 1 ? 'document is' : 'documents are'} trained in parts`,
          detail: `Each part has at most ${inTokens(maxLength)}. longDocuments=cut trains their beginning alone.`,
        };
  },
};

export const beyondContext: SetCheck = {
  ...{ looksAt: 'set', name: 'beyond-context', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'The model was not made for so long rows and may have learned nothing of such positions.',
  ask: ({ facts, maxLength, context }) => {
    const found = facts.rowsWhere(({ tokens }) => Math.min(tokens, maxLength) > context);
    return found.count === 0
      ? null
      : {
          found,
          title: `${found.counted} longer than the model's context of ${inTokens(context)}`,
          detail: 'Lower the maximum length or shorten them.',
        };
  },
};

/** A row is an outlier where it is this many times as long as the median, or the median as long as the row. */
const farFactor = 8;
/** With a larger share of outliers none of them is one. */
const mostShare = 0.05;

export const lengthOutliers: SetCheck = {
  ...{ looksAt: 'set', name: 'length-outliers', severity: 'note', fix: { kind: 'exclude' } },
  why: 'Such a row is often a mistake of a conversion: two rows in one, a page of a file, or an answer that is missing.',
  ask: ({ facts }): Finding | null => {
    if (facts.examples < fewestForShare) return null;
    const median = facts.medianLength();
    const found = facts.rowsWhere(({ tokens }) => tokens > farFactor * median || farFactor * tokens < median);
    if (found.count === 0 || found.count > mostShare * facts.usable) return null;
    return {
      found,
      title: `${found.counted} of unusual length`,
      detail: `Half of the rows have ${inTokens(median)} or fewer; these have more than ${farFactor} times as many, or less than an eighth. Look whether they are what they should be.`,
    };
  },
};
