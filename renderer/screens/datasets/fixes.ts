/** Defines what a click can do about what a check found. */
import type { DataCheck, Fix } from '../../../engine/contract.ts';
import { count, plural } from '../../ui/format.ts';

/** Holds what is done for each kind of fix. */
export type Fixes = { readonly [Kind in Fix['kind']]: (check: DataCheck, fix: Extract<Fix, { kind: Kind }>) => void };

/**
 * Returns what is offered about a check of so many rows: its own fix, and leaving its rows out, unless no row would be left. A
 * check that has passed needs no fix, but may lead to where a person changes what it tells.
 */
export function fixesOf({ fix, severity, rows: listed }: DataCheck, rows: number): readonly Fix[] {
  const leaveOut: Fix = { kind: 'exclude' };
  const isPassed = severity === 'passed';
  const asked = fix === null || fix.kind === 'exclude' ? [] : [fix];
  return [...asked, ...(!isPassed && listed.length > 0 && listed.length < rows ? [leaveOut] : [])];
}

/** Names a fix as a button does. */
export function fixLabel(fix: Fix, { rows }: Pick<DataCheck, 'rows'>): string {
  switch (fix.kind) {
    case 'raise-length':
      return `Set length to ${count(fix.to)}`;
    case 'exclude':
      return `Leave ${rows.length === 1 ? 'this row' : `these ${plural(rows.length, 'row')}`} out`;
    case 'fold-system':
      return 'Write it into the first turn';
    case 'replace':
      return 'Find and replace…';
    case 'map':
      return 'Set what the columns mean…';
    case 'renew':
      return 'Make a new version';
  }
}

/** Does a fix by its kind. */
export function applyFix(fixes: Fixes, check: DataCheck, fix: Fix): void {
  (fixes[fix.kind] as (check: DataCheck, fix: Fix) => void)(check, fix);
}
