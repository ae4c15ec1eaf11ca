/** Checks for rows that cannot be used. There is one check for each kind of problem. */
import type { Fix } from '../../contract.ts';
import type { ProblemCode } from '../../problem.ts';
import type { SetCheck } from './check.ts';

interface Named {
  readonly name: string;
  readonly why: string;
  readonly fix?: Fix;
}

const byCode: Partial<Readonly<Record<ProblemCode, Named>>> = {
  'nothing-to-train': { name: 'no-trained-token', why: 'A row in which no token is trained teaches nothing.' },
  'data-empty': { name: 'empty-turn', why: 'An answer without text teaches the model to say nothing.' },
  'template-failed': {
    name: 'template-refuses',
    why: 'The chat template writes what the model sees; what it refuses, the model has never seen.',
  },
  'token-out-of-range': { name: 'other-vocabulary', why: 'Token ids mean other words to another model.' },
};
const otherwise: Named = { name: 'unusable', why: 'A run ends at such a row, or leaves it out where that is asked for.' };

export const unusable: SetCheck = {
  ...{ looksAt: 'set', name: otherwise.name, why: otherwise.why, severity: 'blocking', fix: { kind: 'exclude' } },
  ask: ({ facts }) =>
    facts.broken === 0
      ? { severity: 'passed', title: 'Every row can be used', detail: 'Each has at least one trained token.' }
      : facts.brokenKinds.map(({ code, rows, detail }) => {
          const { name, why } = byCode[code] ?? otherwise;
          const isOfSystem = code === 'template-failed' && /\bsystem\b/i.test(detail);
          return {
            ...{ name, why, found: rows, title: `${rows.counted} cannot be used`, detail },
            fix: { kind: isOfSystem ? 'fold-system' : code === 'format-unknown' ? 'map' : 'exclude' },
          };
        }),
};
