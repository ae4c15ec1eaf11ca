import type { UpdateNorms } from '../../../engine/contract.ts';
import { figure } from '../../ui/format.ts';

/**
 * The factor s of an adapter version, as its matrices have it: rank and alpha alone do not tell it (rank-stabilized or not, others by
 * module). Null where it has no matrices B and A.
 */
export function scaleText({ scales }: Pick<UpdateNorms, 'scales'>): string | null {
  if (scales === null) return null;
  const [least, most] = [figure(scales.least), figure(scales.most)];
  return least === most ? least : `${least} to ${most} by module`;
}
