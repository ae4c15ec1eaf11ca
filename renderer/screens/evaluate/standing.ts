/** Says how far each contestant of a running evaluation is. */
import { answeredFirst } from '../../../engine/answered-first.ts';
import type { Evaluation } from '../../../engine/contract.ts';
import type { Pace } from '../../state/evaluations.svelte.ts';

interface Standing {
  readonly name: string;
  readonly answered: number;
  readonly rows: number;
  /** Is null until an answer of the contestant has been timed in this window. */
  readonly secondsLeft: number | null;
}

/** Returns how far the contestants are, who answer one after the other but for the first few rows. */
export function standings(
  { contestants, answered, answers }: Pick<Evaluation, 'contestants' | 'answered' | 'answers'>,
  paces: Readonly<Record<string, Pace>>,
): Standing[] {
  if (answers === null) return contestants.map((name) => ({ name, answered: 0, rows: 0, secondsLeft: null }));
  const rows = answers / Math.max(1, contestants.length);
  const first = Math.min(answeredFirst, rows);
  let left = answered;
  const take = (most: number): number => {
    const taken = Math.min(most, left);
    left -= taken;
    return taken;
  };
  const begun = contestants.map(() => take(first));
  return contestants.map((name, i) => {
    const own = begun[i]! + take(rows - begun[i]!);
    const pace = paces[name];
    const secondsLeft = pace === undefined || pace.answers === 0 ? null : (rows - own) * (pace.seconds / pace.answers);
    return { name, answered: Math.round(own), rows: Math.round(rows), secondsLeft };
  });
}
