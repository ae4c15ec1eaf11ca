/** Checks what is trained. */
import { ignored } from '../../labels.ts';
import { Column } from '../column.ts';
import type { TokenRow } from '../row.ts';
import type { RowCheck } from './check.ts';
import { fewestForShare, FoundRows, percentOf } from './found-rows.ts';
import { hashEnd, hashStart, hashWith } from './hash.ts';

/** From this share on one answer counts as repeated. */
const largeShare = 0.8;

/** Finds rows that are trained from their first token on, including the question. In plain text this is intended. */
export const everythingTrained: RowCheck = {
  ...{ looksAt: 'rows', name: 'everything-trained', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'The model then learns to ask as much as to answer.',
  begin: () => {
    const found = new FoundRows();
    return {
      add(examples) {
        // The first token is never predicted, so its label does not count.
        const isWhole = ({ labels, isDocument }: TokenRow) => !isDocument && !labels.subarray(1).includes(ignored);
        if (examples.some(isWhole)) found.add(examples[0]!.index);
      },
      finding: () =>
        found.count === 0
          ? null
          : {
              found,
              title: `${found.counted} in which every token is trained`,
              detail: 'They have no labels that leave the question out, or no question. That is right for plain text alone.',
            },
    };
  },
};

/** Finds an answer that is given again and again, by the hash of its tokens. It takes twelve bytes an answer. */
export const answersAlike: RowCheck = {
  ...{ looksAt: 'rows', name: 'answers-alike', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'A model that gives this answer always is right nearly as often, so it may learn nothing else.',
  begin: () => {
    const answers = new Column(Uint32Array);
    const rows = new Column(Uint32Array);
    return {
      add(examples) {
        for (const { index, inputIds, labels } of examples)
          for (let t = 1; t < labels.length; t++) {
            if (labels[t] === ignored) continue;
            let hash = hashStart;
            for (; t < labels.length && labels[t] !== ignored; t++) hash = hashWith(hash, inputIds[t]!);
            answers.add(hashEnd(hash));
            rows.add(index);
          }
      },
      finding() {
        if (answers.length < fewestForShare) return null;
        const most = majorityOf(answers);
        const found = new FoundRows();
        let count = 0;
        let last = -1;
        for (let i = 0; i < answers.length; i++) {
          if (answers.at(i) !== most) continue;
          count++;
          if (rows.at(i) !== last) found.add((last = rows.at(i)));
        }
        if (count < largeShare * answers.length) return null;
        return {
          found,
          title: `${percentOf(count, answers.length)} of the answers are the same`,
          detail: `${count} of ${answers.length} have the same tokens. Add rows with other answers, or leave some of these out.`,
        };
      },
    };
  },
};

/** Returns the value of more than half of a column, if there is one (Boyer and Moore 1981). */
export function majorityOf(column: Column): number {
  let value = 0;
  let votes = 0;
  for (let i = 0; i < column.length; i++) {
    if (votes === 0) value = column.at(i);
    votes += column.at(i) === value ? 1 : -1;
  }
  return value;
}
