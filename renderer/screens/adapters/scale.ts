import type { AdapterUpdates } from '../../../engine/contract.ts';
import { figure } from '../../ui/format.ts';

/**
 * Returns the factor s of an adapter version, as its matrices have it, or null where it has no matrices B and A. Rank and alpha
 * alone do not tell it: it may be rank-stabilized, or differ between modules.
 */
export function scaleText({ modules }: Pick<AdapterUpdates, 'modules'>): string | null {
  const scales = modules.flatMap(({ updates }) => updates.flatMap((update) => update?.scale ?? []));
  if (scales.length === 0) return null;
  const [least, most] = [figure(Math.min(...scales)), figure(Math.max(...scales))];
  return least === most ? least : `${least} to ${most} by module`;
}
