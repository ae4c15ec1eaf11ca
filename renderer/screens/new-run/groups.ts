import type { RecipeField } from '../../../engine/recipe/field.ts';

/** Lists the groups of a recipe's fields, in the order in which a person meets them. */
export const groups: readonly { readonly group: RecipeField['group']; readonly title: string }[] = [
  { group: 'adapter', title: 'Adapter' },
  { group: 'optimizer', title: 'Optimiser' },
  { group: 'data', title: 'Data and batches' },
  { group: 'run', title: 'Evaluation and checkpoints' },
  { group: 'engine', title: 'Engine' },
];
