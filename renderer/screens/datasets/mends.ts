/** Defines what a click can do about the rows that a check lists. */
import type { DataCheck, Mend } from '../../../engine/contract.ts';
import { count } from '../../ui/format.ts';

/** Holds what is done for each kind of mend. A kind that is left out is not offered. */
export type Mends = { readonly [Kind in Mend['kind']]?: (check: DataCheck, mend: Mend) => void };

/** Names a mend as a button does. */
export function mendLabel(mend: Mend): string {
  switch (mend.kind) {
    case 'raise-length':
      return `Set length to ${count(mend.to)}`;
    case 'exclude':
      return 'Leave these out';
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
