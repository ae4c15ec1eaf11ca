/**
 * Every number of a training run, in one table. The type, the validation, the command line's `--set`, the form controls with
 * their help and the exported JSON all derive from it. This file imports nothing.
 */

interface FieldBase {
  readonly label: string;
  /** What it does, in one sentence a newcomer understands. */
  readonly help: string;
  /** Why the default is what it is, with its source where there is one. */
  readonly why: string;
  readonly group: 'adapter' | 'optimizer' | 'data' | 'run' | 'engine';
}
interface NumberField extends FieldBase {
  readonly kind: 'number' | 'integer';
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
}
interface BooleanField extends FieldBase {
  readonly kind: 'boolean';
  readonly default: boolean;
  /** The other value is not supported yet. */
  readonly fixed?: true;
}
interface ChoiceField extends FieldBase {
  readonly kind: 'choice';
  readonly default: string;
  readonly choices: readonly string[];
}
/** A list of strings, `all-linear`, or (for layers) `all`. */
interface NamesField extends FieldBase {
  readonly kind: 'names';
  readonly default: 'all-linear' | readonly string[];
}
interface LayersField extends FieldBase {
  readonly kind: 'layers';
  readonly default: 'all' | readonly number[];
}
export type RecipeField = NumberField | BooleanField | ChoiceField | NamesField | LayersField;

const fields = {
  rank: {
    kind: 'integer',
    default: 16,
    min: 1,
    max: 1024,
    unit: '',
    group: 'adapter',
    label: 'Rank r',
    help: 'Width of the two trained matrices A and B.',
    why: '8 to 32 is enough for tone and structure (LoRA paper, section 7.2); more only costs memory.',
  },
  alpha: {
    kind: 'number',
    default: 32,
    min: 0.001,
    max: 65536,
    unit: '',
    group: 'adapter',
    label: 'Alpha',
    help: 'Strength of the adapter: its output is multiplied by s = alpha / rank.',
    why: 'Twice the rank, so s is 2; change the rank and alpha together and s stays.',
  },
  targetModules: {
    kind: 'names',
    default: 'all-linear',
    group: 'adapter',
    label: 'Trained matrices',
    help: 'Which linear layers of every block get an adapter, by name, or all of them.',
    why: 'All linear layers learn better than attention alone at the same number of parameters (QLoRA paper, section 4).',
  },
  layers: {
    kind: 'layers',
    default: 'all',
    group: 'adapter',
    label: 'Trained layers',
    help: 'Which blocks get an adapter, counted from 0, or all of them.',
    why: 'All blocks; training only the last ones is faster and forgets less.',
  },
  dropout: {
    kind: 'number',
    default: 0,
    min: 0,
    max: 0,
    unit: '',
    group: 'adapter',
    label: 'Dropout',
    help: 'Share of the adapter input that is dropped at random while training.',
    why: 'Off: a few hundred steps of a small adapter rarely overfit. Values above 0 are not supported yet.',
  },
  learningRate: {
    kind: 'number',
    default: 2e-4,
    min: 0,
    max: 1,
    unit: '',
    group: 'optimizer',
    label: 'Learning rate',
    help: 'How far each step moves A and B.',
    why: 'LoRA takes about ten times the rate of full fine-tuning (QLoRA paper, table 9).',
  },
  schedule: {
    kind: 'choice',
    default: 'cosine',
    choices: ['constant', 'linear', 'cosine'],
    group: 'optimizer',
    label: 'Schedule',
    help: 'How the learning rate falls after the warm-up.',
    why: 'Cosine ends gently and needs no further setting.',
  },
  warmupSteps: {
    kind: 'integer',
    default: 5,
    min: 0,
    max: 1_000_000,
    unit: 'steps',
    group: 'optimizer',
    label: 'Warm-up',
    help: 'Steps in which the learning rate rises from 0.',
    why: 'A few steps let the second moments of Adam settle.',
  },
  weightDecay: {
    kind: 'number',
    default: 0,
    min: 0,
    max: 1,
    unit: '',
    group: 'optimizer',
    label: 'Weight decay',
    help: 'How strongly A and B are pulled towards 0 at every step (decoupled, AdamW).',
    why: 'Off: the rank already limits the adapter.',
  },
  beta1: {
    kind: 'number',
    default: 0.9,
    min: 0,
    max: 0.99999,
    unit: '',
    group: 'optimizer',
    label: 'Beta 1',
    help: 'Memory of the mean of the gradient.',
    why: 'The default of Adam.',
  },
  beta2: {
    kind: 'number',
    default: 0.999,
    min: 0,
    max: 0.999999,
    unit: '',
    group: 'optimizer',
    label: 'Beta 2',
    help: 'Memory of the mean of the squared gradient.',
    why: 'The default of Adam.',
  },
  epsilon: {
    kind: 'number',
    default: 1e-8,
    min: 0,
    max: 0.1,
    unit: '',
    group: 'optimizer',
    label: 'Epsilon',
    help: 'Added to the denominator of the step, against division by 0.',
    why: 'The default of Adam.',
  },
  maxGradientNorm: {
    kind: 'number',
    default: 1,
    min: 0,
    max: 1000,
    unit: '',
    group: 'optimizer',
    label: 'Clip gradient at',
    help: 'A gradient whose norm is larger is scaled down to it; 0 switches clipping off.',
    why: '1 is what most published recipes use.',
  },
  batchSize: {
    kind: 'integer',
    default: 4,
    min: 1,
    max: 4096,
    unit: 'rows',
    group: 'data',
    label: 'Batch',
    help: 'Rows that are computed together.',
    why: 'The first thing to lower when memory is short.',
  },
  gradientAccumulation: {
    kind: 'integer',
    default: 1,
    min: 1,
    max: 4096,
    unit: 'batches',
    group: 'data',
    label: 'Accumulation',
    help: 'Batches whose gradients are added up before one update.',
    why: 'Raise it instead of the batch when memory is short: the update stays the same.',
  },
  epochs: {
    kind: 'number',
    default: 2,
    min: 0.01,
    max: 10_000,
    unit: 'passes',
    group: 'data',
    label: 'Epochs',
    help: 'How often every row is seen; counts only when the number of steps is 0.',
    why: 'With a few hundred rows a third pass mostly repeats the data.',
  },
  maxSteps: {
    kind: 'integer',
    default: 0,
    min: 0,
    max: 10_000_000,
    unit: 'steps',
    group: 'data',
    label: 'Steps',
    help: 'Number of updates; 0 leaves it to the epochs.',
    why: 'Epochs are easier to think in.',
  },
  maxLength: {
    kind: 'integer',
    default: 1024,
    min: 8,
    max: 1_048_576,
    unit: 'tokens',
    group: 'data',
    label: 'Maximum length',
    help: 'Longer rows are cut at the right.',
    why: 'Memory grows with it; most conversations are shorter.',
  },
  shuffle: {
    kind: 'boolean',
    default: true,
    group: 'data',
    label: 'Shuffle rows',
    help: 'Takes the rows in a new random order in every epoch.',
    why: 'Neighbouring rows are often alike.',
  },
  packing: {
    kind: 'boolean',
    default: false,
    fixed: true,
    group: 'data',
    label: 'Packing',
    help: 'Puts several rows into one sequence; each row sees only itself.',
    why: 'Off: packed sequences are not supported yet.',
  },
  precision: {
    kind: 'choice',
    default: 'float32',
    choices: ['float32'],
    group: 'engine',
    label: 'Precision',
    help: 'Number format of the computation.',
    why: 'On a processor float32 is fastest and exact.',
  },
  recompute: {
    kind: 'boolean',
    default: true,
    group: 'engine',
    label: 'Recompute activations',
    help: 'Keeps only the input of each block and computes the rest again in the backward pass.',
    why: 'Halves the memory at little cost in time.',
  },
  seed: {
    kind: 'integer',
    default: 1,
    min: 0,
    max: 4_294_967_295,
    unit: '',
    group: 'run',
    label: 'Seed',
    help: 'Start of every random choice: order of rows, first values of A.',
    why: 'The same seed gives the same run.',
  },
  evalEvery: {
    kind: 'integer',
    default: 20,
    min: 0,
    max: 1_000_000,
    unit: 'steps',
    group: 'run',
    label: 'Evaluate every',
    help: 'Steps between two evaluations on the held-out rows; 0 evaluates only at the end.',
    why: 'Often enough to see where it stops getting better.',
  },
  saveEvery: {
    kind: 'integer',
    default: 20,
    min: 0,
    max: 1_000_000,
    unit: 'steps',
    group: 'run',
    label: 'Save every',
    help: 'Steps between two checkpoints; 0 saves only at the end and at a stop.',
    why: 'What a crash can cost at most.',
  },
  keepCheckpoints: {
    kind: 'integer',
    default: 2,
    min: 1,
    max: 1000,
    unit: '',
    group: 'run',
    label: 'Keep checkpoints',
    help: 'How many of the newest checkpoints stay on disk.',
    why: 'Two, so that one is whole at any moment.',
  },
} as const satisfies Record<string, RecipeField>;

type Value<F> = F extends { kind: 'number' | 'integer' }
  ? number
  : F extends { kind: 'boolean' }
    ? boolean
    : F extends { kind: 'choice'; choices: readonly (infer C)[] }
      ? C
      : F extends { kind: 'names' }
        ? 'all-linear' | readonly string[]
        : F extends { kind: 'layers' }
          ? 'all' | readonly number[]
          : never;

export type RecipeKey = keyof typeof fields;
/** A complete recipe: every field has a value. */
export type Recipe = { readonly [K in RecipeKey]: Value<(typeof fields)[K]> };
/** What a person gave: some fields, unchecked. */
export type RecipeInput = Readonly<Record<string, unknown>>;

export const recipeFields: Readonly<Record<RecipeKey, RecipeField>> = fields;
export const recipeKeys = Object.keys(fields) as RecipeKey[];

/** One thing wrong with a recipe: the field (or unknown key) and a sentence that names the limit. */
export interface RecipeError {
  readonly key: string;
  readonly message: string;
}

/** Whether a field has one possible value so far, so that a form need not show it. */
export function isFixed(field: RecipeField): boolean {
  if (field.kind === 'number' || field.kind === 'integer') return field.min === field.max;
  if (field.kind === 'choice') return field.choices.length === 1;
  return field.kind === 'boolean' && field.fixed === true;
}

/** The recipe with every default. */
export function defaultRecipe(): Recipe {
  return Object.fromEntries(recipeKeys.map((key) => [key, recipeFields[key].default])) as unknown as Recipe;
}

/** Fills `input` up with the defaults, or says everything that is wrong with it. */
export function checkRecipe(input: RecipeInput): { recipe: Recipe } | { errors: RecipeError[] } {
  const errors: RecipeError[] = [];
  const values: Record<string, unknown> = { ...defaultRecipe() };
  for (const [key, value] of Object.entries(input)) {
    if (!(key in recipeFields)) {
      errors.push({ key, message: `There is no recipe field '${key}'; the nearest is '${nearest(key, recipeKeys)}'.` });
      continue;
    }
    const message = checkField(key, recipeFields[key as RecipeKey], value);
    if (message === null) values[key] = value;
    else errors.push({ key, message });
  }
  return errors.length > 0 ? { errors } : { recipe: values as unknown as Recipe };
}

/** Reads a value typed on the command line (`key=value`) as the field's own type; text that does not fit stays text for `checkRecipe` to refuse. */
export function parseFieldText(key: string, text: string): unknown {
  const field: RecipeField | undefined = recipeFields[key as RecipeKey];
  if (field?.kind === 'number' || field?.kind === 'integer')
    return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
  if (field?.kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (field?.kind === 'names') return text === 'all-linear' ? text : text.split(',').map((name) => name.trim());
  if (field?.kind === 'layers')
    return text === 'all' ? text : text.split(',').map((layer) => (layer.trim() === '' ? layer : Number(layer)));
  return text;
}

/** Null when `value` fits, else a sentence that names the limit. */
export function checkField(key: string, field: RecipeField, value: unknown): string | null {
  switch (field.kind) {
    case 'number':
    case 'integer': {
      const range = `${field.min} to ${field.max}`;
      if (typeof value !== 'number' || !Number.isFinite(value)) return `'${key}' must be a number from ${range}.`;
      if (field.kind === 'integer' && !Number.isInteger(value)) return `'${key}' must be a whole number from ${range}.`;
      if (value < field.min || value > field.max) return `'${key}' is ${value}; it must be from ${range}.`;
      return null;
    }
    case 'boolean':
      if (typeof value !== 'boolean') return `'${key}' must be true or false.`;
      return isFixed(field) && value !== field.default ? `'${key}' can only be ${field.default} in this version.` : null;
    case 'choice':
      return typeof value === 'string' && field.choices.includes(value)
        ? null
        : `'${key}' must be one of ${field.choices.join(', ')}.`;
    case 'names':
      return value === 'all-linear' ||
        (Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string' && name !== ''))
        ? null
        : `'${key}' must be 'all-linear' or a list of names.`;
    case 'layers':
      return value === 'all' ||
        (Array.isArray(value) && value.length > 0 && value.every((layer) => Number.isInteger(layer) && (layer as number) >= 0))
        ? null
        : `'${key}' must be 'all' or a list of layer numbers from 0.`;
  }
}

/** The candidate with the smallest edit distance to `word`. */
export function nearest(word: string, candidates: readonly string[]): string {
  const distances = candidates.map((candidate) => editDistance(word.toLowerCase(), candidate.toLowerCase()));
  return candidates[distances.indexOf(Math.min(...distances))] ?? '';
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
