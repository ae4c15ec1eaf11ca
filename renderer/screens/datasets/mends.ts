/** Defines what a click can do about what a check found. */
import type { DataCheck, Mend } from '../../../engine/contract.ts';
import { count, plural } from '../../ui/format.ts';

/** Holds what is done for each kind of mend. */
export type Mends = { readonly [Kind in Mend['kind']]: (check: DataCheck, mend: Extract<Mend, { kind: Kind }>) => void };

/**
 * Returns what is offered about a check of so many rows: its own mend, and leaving its rows out, unless no row would be left. A
 * check that has passed needs no mend, but may lead to where a person changes what it tells.
 */
export function mendsOf({ mend, severity, rows: listed }: DataCheck, rows: number): readonly Mend[] {
  const leaveOut: Mend = { kind: 'exclude' };
  const isPassed = severity === 'passed';
  const asked = mend === null || mend.kind === 'exclude' ? [] : [mend];
  return [...asked, ...(!isPassed && listed.length > 0 && listed.length < rows ? [leaveOut] : [])];
}

/** Names a mend as a button does. */
export function mendLabel(mend: Mend, { rows }: Pick<DataCheck, 'rows'>): string {
  switch (mend.kind) {
    case 'raise-length':
      return `Set length to ${count(mend.to)}`;
    case 'exclude':
      return `Leave ${rows.length === 1 ? 'this row' : `these ${plural(rows.length, 'row')}`} out`;
    case 'fold-system':
      return 'Write it into the first turn';
    case 'replace':
      return 'Find and replace…';
    case 'map':
      return 'Say what the columns mean…';
    case 'renew':
      return 'Make a new version';
  }
}

/** Does a mend by its kind. */
export function applyMend(mends: Mends, check: DataCheck, mend: Mend): void {
  (mends[mend.kind] as (check: DataCheck, mend: Mend) => void)(check, mend);
}
