/** Checks for rows that are the same as others, or nearly the same. */
import type { SetCheck } from './check.ts';
import { leastWords } from './sketch.ts';

const compared = 'Compared by token ids and labels.';
/** Explains in words what counts as nearly the same: `nearlyEqual` of `sketch.ts`. */
const nearly = `Seven eighths or more of their runs of three words are the same, as estimated from a sample; rows of fewer than ${leastWords} words are not compared.`;

export const duplicates: SetCheck = {
  ...{ looksAt: 'set', name: 'duplicates', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'They count twice in training.',
  ask: ({ facts: { duplicates: found } }) =>
    found.count === 0
      ? { severity: 'passed', title: 'No row is repeated', detail: compared }
      : { found, title: `${found.counted} repeated`, detail: 'Remove them unless that is meant.' },
};

export const nearDuplicates: SetCheck = {
  ...{ looksAt: 'set', name: 'near-duplicates', severity: 'note', fix: { kind: 'exclude' } },
  why: 'Many rows that say nearly the same are learned by heart before the others are learned at all.',
  ask: ({ facts }) => {
    const found = facts.nearRows(null);
    return found.count === 0 ? null : { found, title: `${found.counted} nearly the same as an earlier one`, detail: nearly };
  },
};

export const leakage: SetCheck = {
  ...{ looksAt: 'set', name: 'leakage', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'The evaluation loss then says less about new rows.',
  ask: ({ facts, others }) => {
    if (others === null) return null;
    const found = facts.rowsIn(others);
    return found.count === 0
      ? { severity: 'passed', title: 'Training and evaluation share no row', detail: compared }
      : { found, title: `${found.counted} in both training and evaluation`, detail: 'Remove them from one of the two.' };
  },
};

export const nearLeakage: SetCheck = {
  ...{ looksAt: 'set', name: 'near-leakage', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'The model is then measured on what it has nearly seen, and looks better than it is.',
  ask: ({ facts, others }) => {
    const found = others === null ? null : facts.nearRows(others);
    return found === null || found.count === 0
      ? null
      : { found, title: `${found.counted} nearly the same in training and evaluation`, detail: nearly };
  },
};
