import type { RecipeInput } from '../../../engine/recipe.ts';

/** Starting points by what a person wants; each names only what differs from the defaults. */
export interface Preset {
  readonly id: 'json' | 'tone' | 'behaviour' | 'custom';
  readonly title: string;
  readonly detail: string;
  readonly values: RecipeInput;
}

export const presets: readonly Preset[] = [
  {
    id: 'json',
    title: 'JSON output',
    detail: 'Always parses: every matrix, rank 16',
    values: { rank: 16, alpha: 32, targetModules: 'all-linear', learningRate: 5e-4, epochs: 3 },
  },
  {
    id: 'tone',
    title: 'Tone and voice',
    detail: 'Attention only, rank 8',
    values: { rank: 8, alpha: 16, targetModules: ['q_proj', 'k_proj', 'v_proj', 'o_proj'] },
  },
  {
    id: 'behaviour',
    title: 'Behaviour',
    detail: 'Every matrix, rank 16, gentle rate',
    values: { rank: 16, alpha: 32, targetModules: 'all-linear', learningRate: 1e-4 },
  },
  { id: 'custom', title: 'Custom', detail: 'Start from the defaults', values: {} },
];
