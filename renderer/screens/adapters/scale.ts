import type { Run } from '../../../engine/contract.ts';
import { scaleText } from '../new-run/field-text.ts';

/**
 * The factor s of an adapter version, by the recipe of its run. Null for an imported one, whose rank and alpha alone do not tell it
 * (rank-stabilized or not, others by module), and after full training, which has none.
 */
export function versionScale(run: Pick<Run, 'recipe'> | null): string | null {
  return run === null || run.recipe.method === 'full' ? null : scaleText(run.recipe);
}
