import type { UpdateNorms } from '../../../engine/contract.ts';
import { figure } from '../../ui/format.ts';

/**
 * Returns the factor s of an adapter version, as its matrices have it, or null where it has no matrices B and A. Rank and alpha
 * alone do not tell it: it may be rank-stabilized, or differ between modules.
 */
export function scaleText({ scales }: Pick<UpdateNorms, 'scales'>): string | null {
  if (scales === null) return null;
  const [least, most] = [figure(scales.least), figure(scales.most)];
  return least === most ? least : `${least} to ${most} by module`;
}
