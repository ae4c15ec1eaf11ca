import type { RecipeInput } from '../../../engine/recipe.ts';

/** Describes a starting point by what a person wants. It names only what differs from the defaults. */
export interface Preset {
  readonly id: 'json' | 'tone' | 'behaviour' | 'custom';
  readonly title: string;
  readonly detail: string;
  readonly values: RecipeInput;
  /** Selects only the matrices of the attention, whatever the family calls them. */
  readonly attentionOnly?: true;
}

export const presets: readonly Preset[] = [
  {
    id: 'json',
    title: 'JSON output',
    detail: 'Every matrix, rank 16',
    values: { rank: 16, alpha: 32, learningRate: 5e-4, epochs: 3 },
  },
  {
    id: 'tone',
    title: 'Tone and voice',
    detail: 'Rank 8, attention only',
    values: { rank: 8, alpha: 16 },
    attentionOnly: true,
  },
  {
    id: 'behaviour',
    title: 'Behaviour',
    detail: 'Rank 16, gentle rate',
    values: { rank: 16, alpha: 32, learningRate: 1e-4 },
  },
  { id: 'custom', title: 'Custom', detail: 'Start from the defaults', values: {} },
];
