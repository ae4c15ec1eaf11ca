/**
 * Defines every number of a training run in one table. The type, the validation, the command line's `--set`, the form controls
 * with their help and the exported JSON all derive from it. This file imports only problems and the names that other programs
 * give to fields.
 */
import { Problem } from './problem.ts';
import { noCounterpart, otherNames } from './recipe-names.ts';

interface FieldBase {
  readonly label: string;
  /** Says what the field does, in one sentence a newcomer understands. */
  readonly help: string;
  /** Says why the default is what it is, with its source where there is one. */
  readonly why: string;
  readonly group: 'adapter' | 'optimizer' | 'data' | 'run' | 'engine';
}
interface NumberField extends FieldBase {
  readonly kind: 'number' | 'integer';
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  /** Marks a field that was a yes or no in earlier recipes, which are still read: `true` is read as `max`, `false` as `min`. */
  readonly wasBoolean?: true;
}
interface BooleanField extends FieldBase {
  readonly kind: 'boolean';
  readonly default: boolean;
}
interface ChoiceField extends FieldBase {
  readonly kind: 'choice';
  readonly default: string;
  readonly choices: readonly string[];
  /** Allows further values by a rule, such as a number at the end of a name. */
  readonly pattern?: { readonly matches: RegExp; readonly written: string };
}
/**
 * Describes a field with a list of names or, where it allows an expression, a single string: `all-linear` or a regular
 * expression for whole module paths.
 */
interface NamesField extends FieldBase {
  readonly kind: 'names';
  readonly default: 'all-linear' | readonly string[];
  /** Says whether an empty list is allowed, and whether `all-linear` or a regular expression is. */
  readonly allows: { readonly none: boolean; readonly expression: boolean };
}
/** Describes a field with numbers by name or regular expression; the first that matches counts. */
interface MapField extends FieldBase {
  readonly kind: 'map';
  readonly default: Readonly<Record<string, number>>;
  readonly integer: boolean;
  readonly min: number;
  readonly max: number;
}
/** Describes a field with a list of layers, counted from 0, or `all`. */
interface LayersField extends FieldBase {
  readonly kind: 'layers';
  readonly default: 'all' | readonly number[];
}
/** Describes a field with a day of the calendar, such as 2026-07-15, or nothing. */
interface DateField extends FieldBase {
  readonly kind: 'date';
  readonly default: '';
}
export type RecipeField = NumberField | BooleanField | ChoiceField | NamesField | MapField | LayersField | DateField;

const fields = {
  method: {
    kind: 'choice',
    default: 'lora',
    choices: ['lora', 'full'],
    group: 'adapter',
    label: 'Method',
    help: 'Trains a small adapter beside the frozen model, or every weight of the model itself.',
    why: 'An adapter reaches the same quality at a fraction of the memory; full training is there for small models, to compare with.',
  },
  rank: {
    kind: 'integer',
    default: 16,
    min: 1,
    max: 1024,
    unit: '',
    group: 'adapter',
    label: 'Rank r',
    help: 'Width of the two trained matrices A and B.',
    why: '8 to 32 is enough for tone and structure (LoRA paper, section 7.2).',
  },
  alpha: {
    kind: 'number',
    default: 32,
    min: 0.001,
    max: 65536,
    unit: '',
    group: 'adapter',
    label: 'Alpha',
    help: 'Strength: the adapter is multiplied by s = alpha / rank.',
    why: 'Twice the rank, so s is 2.',
  },
  rslora: {
    kind: 'boolean',
    default: false,
    group: 'adapter',
    label: 'Rank-stabilized scale',
    help: 'Multiplies the output of the adapter by alpha / √rank instead of alpha / rank.',
    why: 'Off: it matters at high ranks only, where alpha / rank makes the adapter weak (rsLoRA paper).',
  },
  dora: {
    kind: 'boolean',
    default: false,
    group: 'adapter',
    label: 'DoRA',
    help: 'Also trains the length of every row of the adapted matrices, apart from its direction.',
    why: 'Off: it can help at low ranks and makes every step slower (DoRA paper, section 4).',
  },
  initialization: {
    kind: 'choice',
    default: 'default',
    choices: ['default', 'gaussian', 'pissa', 'olora', 'loftq'],
    pattern: { matches: /^pissa_niter_\d{1,3}$/, written: 'pissa_niter_N' },
    group: 'adapter',
    label: 'First values',
    help: 'How A and B begin. With the default and gaussian the adapter changes nothing at first; PiSSA begins with the largest singular vectors of each matrix, OLoRA with its QR decomposition, and LoftQ with what a base in 4 or 8 bits has lost.',
    why: 'The default is the best known; PiSSA and OLoRA often learn faster in the first steps and take a while to prepare.',
  },
  targetModules: {
    kind: 'names',
    default: 'all-linear',
    allows: { none: false, expression: true },
    group: 'adapter',
    label: 'Trained matrices',
    help: 'The modules that get an adapter: all linear layers of the blocks, a list of names or ends of paths, or a regular expression for whole paths.',
    why: 'All linear layers learn better than attention alone at the same number of parameters (QLoRA paper, section 4).',
  },
  excludeModules: {
    kind: 'names',
    default: [],
    allows: { none: true, expression: true },
    group: 'adapter',
    label: 'Left out',
    help: 'Modules that get no adapter although they are among the trained matrices: names, ends of paths, or a regular expression.',
    why: 'None.',
  },
  layers: {
    kind: 'layers',
    default: 'all',
    group: 'adapter',
    label: 'Trained layers',
    help: 'Which blocks get an adapter, counted from 0, or all of them.',
    why: 'All blocks; training only the last ones is faster and forgets less.',
  },
  layersPattern: {
    kind: 'names',
    default: [],
    allows: { none: true, expression: false },
    group: 'adapter',
    label: 'Name of the layers',
    help: 'The name that stands before the number of the layer in the path of a module, for models whose paths have more than one number.',
    why: 'None: the first number in the path is the layer.',
  },
  rankPattern: {
    kind: 'map',
    default: {},
    integer: true,
    min: 1,
    max: 1024,
    group: 'adapter',
    label: 'Ranks of some',
    help: 'Other ranks for some modules, by the end of their path or a regular expression: q_proj:32, layers.0.mlp.down_proj:4.',
    why: 'None: one rank for all.',
  },
  alphaPattern: {
    kind: 'map',
    default: {},
    integer: false,
    min: 0.001,
    max: 65536,
    group: 'adapter',
    label: 'Alphas of some',
    help: 'Other alphas for some modules, by the end of their path or a regular expression: q_proj:64, layers.0.mlp.down_proj:8.',
    why: 'None: one alpha for all.',
  },
  modulesToSave: {
    kind: 'names',
    default: [],
    allows: { none: true, expression: false },
    group: 'adapter',
    label: 'Trained whole',
    help: 'Modules whose own weights are trained, instead of an adapter on them, and saved with the adapter: lm_head, embed_tokens, norm.',
    why: 'None: a trained head or embedding makes the adapter as large as the vocabulary.',
  },
  bias: {
    kind: 'choice',
    default: 'none',
    choices: ['none', 'lora_only', 'all'],
    group: 'adapter',
    label: 'Trained biases',
    help: 'Which biases of the model are trained too: none, those of adapted modules, or all.',
    why: 'None, so that the model without its adapter is the base again.',
  },
  dropout: {
    kind: 'number',
    default: 0,
    min: 0,
    max: 0.9,
    unit: '',
    group: 'adapter',
    label: 'Dropout',
    help: 'Share of the adapter input that is dropped at random while training.',
    why: 'Off: a few hundred steps of a small adapter rarely overfit.',
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
    why: 'About ten times that of full fine-tuning (QLoRA paper, table 9).',
  },
  loraplusLrRatio: {
    kind: 'number',
    default: 1,
    min: 0.001,
    max: 10_000,
    unit: '',
    group: 'optimizer',
    label: 'LoRA+ ratio',
    help: 'How many times faster B, magnitudes and biases learn than A.',
    why: '1, as plain LoRA; the LoRA+ paper finds about 16 faster, with a smaller learning rate.',
  },
  loraplusLrEmbedding: {
    kind: 'number',
    default: 1e-6,
    min: 0,
    max: 1,
    unit: '',
    group: 'optimizer',
    label: 'LoRA+ embedding rate',
    help: 'Learning rate of an adapter on the embedding; counts only with a LoRA+ ratio other than 1.',
    why: 'The default of PEFT.',
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
  warmupRatio: {
    kind: 'number',
    default: 0,
    min: 0,
    max: 1,
    unit: '',
    group: 'optimizer',
    label: 'Warm-up share',
    help: 'Share of all steps in which the learning rate rises from 0; where it is not 0, it counts instead of the number of steps.',
    why: 'Off: a number of steps is easier to think in.',
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
    help: 'Batches added up before one update.',
    why: 'Raise it instead of the batch when memory is short.',
  },
  epochs: {
    kind: 'number',
    default: 2,
    min: 0.01,
    max: 10_000,
    unit: 'passes',
    group: 'data',
    label: 'Epochs',
    help: 'How often every row is seen, unless steps are set.',
    why: 'With few rows a third pass mostly repeats.',
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
  addEosToken: {
    kind: 'boolean',
    default: true,
    group: 'data',
    label: 'End documents',
    help: 'Ends every row of plain text with the end-of-text token, unless it ends with one by itself. Conversations and completions always have their end.',
    why: 'TRL, mlx-lm and LLaMA-Factory do the same; without it the model never learns where a text ends.',
  },
  thinking: {
    kind: 'choice',
    default: 'row',
    choices: ['row', 'on', 'off'],
    group: 'data',
    label: 'Thinking',
    help: 'Whether the chat template asks for answers with a thought: as each row says it, or on or off for all rows. What the prompt has already is not trained.',
    why: 'A row may say it in chat_template_kwargs; where none does, the template asks as it does by itself, which is how the model will be asked.',
  },
  unroll: {
    kind: 'choice',
    default: 'all',
    choices: ['all', 'last', 'off'],
    group: 'data',
    label: 'Rewritten turns',
    help: 'What becomes of a conversation whose chat template writes earlier turns differently: an example for each turn, for its last turns alone, or (off) the row is refused. Where earlier turns stay as they are, one example trains them all.',
    why: 'Every answer is then learned behind the history as the model will see it.',
  },
  turnWeight: {
    kind: 'choice',
    default: 'turn',
    choices: ['turn', 'conversation'],
    group: 'data',
    label: 'Weight of turns',
    help: 'How much a conversation counts that is several examples: each of them as a row of its own, or all of them together as one.',
    why: 'Every answer counts once, as it does in a conversation that is one example.',
  },
  foldSystem: {
    kind: 'boolean',
    default: false,
    group: 'data',
    label: 'Fold system turns',
    help: 'Puts the text of a system turn at the start of the next turn of the user where the chat template takes no system turn.',
    why: 'Off: such rows are refused, because the model was not made for them.',
  },
  media: {
    kind: 'choice',
    default: 'refuse',
    choices: ['refuse', 'drop'],
    group: 'data',
    label: 'Pictures and sounds',
    help: 'What becomes of a row with images, audio or video, of which only the text can be trained on: it is refused, or they are left out of it and counted.',
    why: 'An answer about a picture that nobody sees teaches the model to make things up.',
  },
  date: {
    kind: 'date',
    default: '',
    group: 'data',
    label: 'Date',
    help: 'The day that chat templates print, such as 2026-07-15; empty: the day on which the run begins.',
    why: 'A run keeps its day when it goes on, is evaluated or exported later, so that its rows stay the same tokens.',
  },
  promptFormat: {
    kind: 'choice',
    default: 'chat',
    choices: ['chat', 'text'],
    group: 'data',
    label: 'Prompts as',
    help: 'Reads a row of prompt and completion as a question and its answer by the chat template of the model, or as plain text, one behind the other. Without a template it is always text.',
    why: 'A model with a chat template is asked through it, so an answer learned without it is never asked for.',
  },
  longDocuments: {
    kind: 'choice',
    default: 'split',
    choices: ['split', 'cut'],
    group: 'data',
    label: 'Long documents',
    help: 'Trains a row of plain text that is longer than the maximum length in parts of that length, or only its beginning.',
    why: 'A document has no one answer: every part of it is as good to learn from.',
  },
  documentOverlap: {
    kind: 'integer',
    default: 0,
    min: 0,
    max: 65_536,
    unit: 'tokens',
    group: 'data',
    label: 'Overlap of parts',
    help: 'Tokens of the part before that each further part of a long document begins with. They are only looked at, so that every token is trained once; at most half of the maximum length.',
    why: 'None: with some, the first tokens of a part are learned with what comes before them, and more is computed.',
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
    default: true,
    group: 'data',
    label: 'Packing',
    help: 'Puts the rows of a step end to end, up to 256 tokens together, instead of padding each to the longest.',
    why: 'Nothing is computed for padding. A row still sees only itself: the numbers are the same.',
  },
  neftuneNoiseAlpha: {
    kind: 'number',
    default: 0,
    min: 0,
    max: 1000,
    unit: '',
    group: 'data',
    label: 'NEFTune noise',
    help: 'Adds uniform noise within alpha / √(tokens x width) to the embeddings of every row while training.',
    why: 'Off; 5 is what the paper uses to make answers of chat models richer.',
  },
  baseQuantization: {
    kind: 'choice',
    default: 'none',
    choices: ['none', 'stored', '8bit', '4bit'],
    group: 'engine',
    label: 'Base in memory',
    help: 'How the frozen matrices are kept in memory: as float32, with exactly the quantized values of a GGUF, or, for the matrices of the blocks, rounded to 8 or 4 bits with a scale for every 64 numbers (QLoRA).',
    why: 'Float32 is fastest and exact; in 4 bits the matrices take a seventh of the memory, and the adapter learns on the rounded values.',
  },
  recompute: {
    kind: 'integer',
    default: 0,
    min: 0,
    max: 1000,
    wasBoolean: true,
    unit: 'blocks',
    group: 'engine',
    label: 'Recomputed blocks',
    help: 'The number of blocks of which only the input is kept; the rest is computed again in the backward pass (gradient checkpointing). What is cheap is always computed again.',
    why: 'None is fastest; each block saves its share of the activations, and all of them cost about a third more work.',
  },
  headRows: {
    kind: 'integer',
    default: 256,
    min: 16,
    max: 65_536,
    unit: 'tokens',
    group: 'engine',
    label: 'Logits at once',
    help: 'Tokens whose logits over the whole vocabulary are in memory at once.',
    why: 'More gains nothing; with a very large vocabulary less saves some memory.',
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
    help: 'Steps between two evaluations; 0 evaluates only at the end.',
    why: 'Often enough to see where it stops improving.',
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
    why: 'It limits how much work a crash can cost.',
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
    why: 'With two, one is complete at any moment.',
  },
} as const satisfies Record<string, RecipeField>;

type Value<F> = F extends { kind: 'number' | 'integer' }
  ? number
  : F extends { kind: 'boolean' }
    ? boolean
    : F extends { kind: 'choice'; pattern: object }
      ? string
      : F extends { kind: 'choice'; choices: readonly (infer C)[] }
        ? C
        : F extends { kind: 'names'; allows: { expression: infer E } }
          ? E extends true
            ? string | readonly string[]
            : readonly string[]
          : F extends { kind: 'map' }
            ? Readonly<Record<string, number>>
            : F extends { kind: 'layers' }
              ? 'all' | readonly number[]
              : F extends { kind: 'date' }
                ? string
                : never;

export type RecipeKey = keyof typeof fields;
/** Describes a complete recipe, in which every field has a value. */
export type Recipe = { readonly [K in RecipeKey]: Value<(typeof fields)[K]> };
/** Lists the fields that decide which tokens a row becomes, and into which examples it is divided. */
export const rowSettingKeys = [
  ...(['addEosToken', 'thinking', 'unroll', 'foldSystem', 'media'] as const),
  ...(['promptFormat', 'longDocuments', 'documentOverlap'] as const),
] as const satisfies RecipeKey[];
/** Holds the values of those fields. */
export type RowSettings = Pick<Recipe, (typeof rowSettingKeys)[number]>;
/** Holds the fields that a person gave, unchecked and maybe under other programs' names. */
export type RecipeInput = Readonly<Record<string, unknown>>;

export const recipeFields: Readonly<Record<RecipeKey, RecipeField>> = fields;
export const recipeKeys = Object.keys(fields) as RecipeKey[];

/** Describes an error in a recipe: the field (or unknown key) and a sentence that names the limit. */
export interface RecipeError {
  readonly key: string;
  readonly message: string;
}

/** Returns the recipe in which every field has its default. */
export function defaultRecipe(): Recipe {
  return Object.fromEntries(recipeKeys.map((key) => [key, recipeFields[key].default])) as unknown as Recipe;
}

/** Returns the fields of a recipe that decide which tokens a row becomes. */
export function rowSettings(recipe: RowSettings): RowSettings {
  return Object.fromEntries(rowSettingKeys.map((key) => [key, recipe[key]])) as unknown as RowSettings;
}

/** Says what was done before there were fields for it. */
const asBefore = { addEosToken: false, promptFormat: 'text', longDocuments: 'cut' } as const;

/**
 * Completes a recipe that was saved when there were fewer fields. Later fields get their default, except that documents had no
 * end token then and were cut, and prompts were text. What is no longer a field is left out.
 */
export function fromSaved(saved: RecipeInput): Recipe {
  const known = recipeKeys.filter((key) => saved[key] !== undefined).map((key) => [key, saved[key]]);
  return { ...defaultRecipe(), ...asBefore, ...(Object.fromEntries(known) as Partial<Recipe>) };
}

/** Holds fields of earlier recipes, with the only value that is still accepted because it describes what is computed. */
const retired: Readonly<Record<string, unknown>> = { precision: 'float32' };

/** Completes `input` with the defaults, or returns everything that is wrong with it. */
export function checkRecipe(input: RecipeInput): { recipe: Recipe } | { errors: RecipeError[] } {
  const { fields: given, givenAs, errors } = ownNames(input);
  const values: Record<string, unknown> = { ...defaultRecipe() };
  for (const [key, value] of Object.entries(given)) {
    const field = recipeFields[key as RecipeKey];
    const message = checkField(givenAs.get(key) ?? key, field, value);
    if (message === null) values[key] = fromBoolean(field, value);
    else errors.push({ key, message });
  }
  if (errors.length > 0) return { errors };
  const recipe = values as unknown as Recipe;
  const conflict = conflictOf(recipe);
  return conflict === null ? { recipe } : { errors: [conflict] };
}

/** Completes `input` with the defaults. Throws one `recipe-invalid` Problem with everything that is wrong with it. */
export function requireRecipe(input: RecipeInput): Recipe {
  const checked = checkRecipe(input);
  if ('errors' in checked) throw recipeProblem(checked.errors, 'Correct these fields; each has a default and may be left out.');
  return checked.recipe;
}

export function recipeProblem(errors: readonly RecipeError[], hint: string): Problem {
  return new Problem('recipe-invalid', errors.map(({ message }) => message).join(' '), hint);
}

/** Returns the fields of a checked recipe whose values `input` gives itself. */
export function givenFields(input: RecipeInput, recipe: Recipe): Partial<Recipe> {
  const given = Object.keys(ownNames(input).fields) as RecipeKey[];
  return Object.fromEntries(given.map((key) => [key, recipe[key]]));
}

/**
 * Translates the names and values of PEFT, transformers and TRL into the recipe's own. An unknown name, or two names for one
 * field, is an error.
 */
export function ownNames(input: RecipeInput): {
  fields: Record<string, unknown>;
  /** Holds the name under which each field was given, by field. */
  givenAs: ReadonlyMap<string, string>;
  errors: RecipeError[];
} {
  const fields: Record<string, unknown> = {};
  const errors: RecipeError[] = [];
  const givenAs = new Map<string, string>();
  const implied: (readonly [name: string, fields: RecipeInput])[] = [];
  for (const [name, given] of Object.entries(input)) {
    if (Object.hasOwn(retired, name) && given === retired[name]) continue;
    const other = Object.hasOwn(otherNames, name) ? otherNames[name] : undefined;
    const key = other?.key ?? name;
    if (!Object.hasOwn(recipeFields, key)) {
      errors.push({ key: name, message: unknownField(name) });
      continue;
    }
    const earlier = givenAs.get(key);
    if (earlier !== undefined) {
      errors.push({ key, message: `'${earlier}' and '${name}' are the same field; give one of them.` });
      continue;
    }
    givenAs.set(key, name);
    const value = other?.read === undefined ? given : other.read(given);
    if (value === undefined)
      errors.push({ key, message: `'${name}' cannot be ${JSON.stringify(given)} here: ${valuesOf(key)}` });
    else fields[key] = value;
    if (other?.implies !== undefined) implied.push([name, other.implies(given)]);
  }
  for (const [name, others] of implied)
    for (const [key, value] of Object.entries(others)) {
      const given = givenAs.get(key);
      if (given === undefined) fields[key] = value;
      else if (fields[key] !== value)
        errors.push({
          key,
          message: `'${name}' ${String(input[name])} means '${key}' ${String(value)}, but '${given}' is given too.`,
        });
    }
  return { fields, givenAs, errors };
}

function valuesOf(key: string): string {
  const field = recipeFields[key as RecipeKey];
  if (field.kind !== 'choice') return `the field is '${key}'.`;
  return `'${key}' is one of ${[...field.choices, ...(field.pattern ? [field.pattern.written] : [])].join(', ')}.`;
}

function unknownField(name: string): string {
  if (Object.hasOwn(retired, name)) return `'${name}' can only be ${String(retired[name])}: that is what is computed.`;
  if (Object.hasOwn(noCounterpart, name)) return `A recipe has no '${name}'. ${noCounterpart[name]}`;
  const near = nearestWord(name, [...recipeKeys, ...Object.keys(otherNames)]);
  return `There is no recipe field '${name}'${near === null ? '.' : `; the nearest is '${near}'.`}`;
}

function fromBoolean(field: RecipeField, value: unknown): unknown {
  return 'wasBoolean' in field && typeof value === 'boolean' ? (value ? field.max : field.min) : value;
}

/** Returns the error of two settings that are each possible but not together; null where there is none. */
function conflictOf({ dora, initialization, targetModules, layers, method, baseQuantization }: Recipe): RecipeError | null {
  if (method === 'full')
    return baseQuantization === 'none'
      ? null
      : {
          key: 'baseQuantization',
          message: `'baseQuantization' cannot go with full training: every weight is trained in float32.`,
        };
  if (dora && /^(pissa|olora)/.test(initialization))
    return { key: 'initialization', message: `'initialization' ${initialization} cannot go with 'dora'.` };
  if (initialization === 'loftq' && (dora || !/bit$/.test(baseQuantization)))
    return {
      key: 'initialization',
      message: `'initialization' loftq needs 'baseQuantization' 4bit or 8bit${dora ? " and cannot go with 'dora'" : ''}.`,
    };
  if (typeof targetModules === 'string' && targetModules !== 'all-linear' && layers !== 'all')
    return { key: 'layers', message: `'layers' cannot go with a regular expression in 'targetModules', which can name them.` };
  return null;
}

/** Returns the factor s by which B A is multiplied: alpha / r, or alpha / √r with rsLoRA. */
export function scaleOf({ rank, alpha, rslora }: Pick<Recipe, 'rank' | 'alpha' | 'rslora'>): number {
  return alpha / (rslora ? Math.sqrt(rank) : rank);
}

/**
 * Returns the scales of a recipe: `usual` is that of a module no pattern matches, and `least` and `most` are the extremes over
 * it and the names in the patterns. Only the model can tell which modules there are, and which match two names.
 */
export function scaleRange({ rankPattern, alphaPattern, ...recipe }: ScaledRecipe): {
  readonly usual: number;
  readonly least: number;
  readonly most: number;
} {
  const names = [...new Set([...Object.keys(rankPattern), ...Object.keys(alphaPattern)])];
  const usual = scaleOf(recipe);
  const all = names.map((name) =>
    scaleOf({ ...recipe, rank: rankPattern[name] ?? recipe.rank, alpha: alphaPattern[name] ?? recipe.alpha }),
  );
  return { usual, least: Math.min(usual, ...all), most: Math.max(usual, ...all) };
}
export type ScaledRecipe = Pick<Recipe, 'rank' | 'alpha' | 'rslora' | 'rankPattern' | 'alphaPattern'>;

/**
 * Reads a value typed on the command line (`key=value`) as the field's own type. Text that does not fit is returned as text,
 * for `checkRecipe` to refuse.
 */
export function parseFieldText(name: string, text: string): unknown {
  const key = Object.hasOwn(otherNames, name) ? otherNames[name]!.key : name;
  const field = Object.hasOwn(recipeFields, key) ? recipeFields[key as RecipeKey] : undefined;
  if (field?.kind === 'integer' && field.wasBoolean && /^(true|false)$/.test(text)) return text === 'true';
  if (field?.kind === 'number' || field?.kind === 'integer')
    return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
  if (field?.kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  if (field?.kind === 'names') return parseNames(field, text);
  if (field?.kind === 'map') return parseMap(text);
  if (field?.kind === 'layers')
    return text === 'all' ? text : text.split(',').map((layer) => (layer.trim() === '' ? layer : Number(layer)));
  return text;
}

/** Reads `all-linear`, names between commas, or a regular expression, which is recognized by a character that no name has. */
function parseNames({ allows }: NamesField, text: string): string | string[] {
  if (text === 'all-linear' || (allows.expression && /[\\^$*+?()[\]{}|]/.test(text))) return text;
  return text.trim() === '' ? [] : text.split(',').map((name) => name.trim());
}

/** Reads `q_proj:8, v_proj:4`, or JSON where a name has a comma or colon in it. Text that is neither is returned as it is. */
function parseMap(text: string): unknown {
  if (text.trim().startsWith('{'))
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  const pairs = text.split(',').filter((pair) => pair.trim() !== '');
  const entries = pairs.map((pair) => {
    const colon = pair.lastIndexOf(':');
    return [pair.slice(0, colon).trim(), Number(pair.slice(colon + 1))] as const;
  });
  return entries.some(([name, value]) => name === '' || Number.isNaN(value)) ? text : Object.fromEntries(entries);
}

/** Formats a value so that `parseFieldText` reads it back. */
export function formatFieldText(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return String(value);
  const entries = Object.entries(value);
  if (entries.some(([name]) => /[,:]/.test(name))) return JSON.stringify(value);
  return entries.map(([name, number]) => `${name}:${number}`).join(', ');
}

/** Returns null when `value` fits the field, otherwise a sentence that names the limit. */
export function checkField(key: string, field: RecipeField, value: unknown): string | null {
  switch (field.kind) {
    case 'number':
    case 'integer': {
      if (field.wasBoolean && typeof value === 'boolean') return null;
      const range = `${field.min} to ${field.max}`;
      if (typeof value !== 'number' || !Number.isFinite(value)) return `'${key}' must be a number from ${range}.`;
      if (field.kind === 'integer' && !Number.isInteger(value)) return `'${key}' must be a whole number from ${range}.`;
      if (value < field.min || value > field.max) return `'${key}' is ${value}; it must be from ${range}.`;
      return null;
    }
    case 'boolean':
      return typeof value === 'boolean' ? null : `'${key}' must be true or false.`;
    case 'choice':
      return typeof value === 'string' && (field.choices.includes(value) || field.pattern?.matches.test(value) === true)
        ? null
        : `'${key}' must be one of ${[...field.choices, ...(field.pattern ? [field.pattern.written] : [])].join(', ')}.`;
    case 'names': {
      const { none, expression } = field.allows;
      if (expression && typeof value === 'string')
        return value === 'all-linear' || isExpression(value) ? null : `'${key}' is not a regular expression: ${value}`;
      return Array.isArray(value) &&
        (none || value.length > 0) &&
        value.every((name) => typeof name === 'string' && name !== '')
        ? null
        : `'${key}' must be ${expression ? "'all-linear', a regular expression or a list" : 'a list'} of names.`;
    }
    case 'map': {
      const wanted = `${field.integer ? 'a whole number' : 'a number'} from ${field.min} to ${field.max}`;
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        return `'${key}' must give names ${wanted}, such as q_proj:${field.max > 8 ? 8 : field.max}.`;
      for (const [name, number] of Object.entries(value as Record<string, unknown>)) {
        if (!isExpression(name)) return `'${key}' has a name that is not a regular expression: ${name}`;
        const fits = typeof number === 'number' && number >= field.min && number <= field.max;
        if (!fits || (field.integer && !Number.isInteger(number))) return `'${key}' must give '${name}' ${wanted}.`;
      }
      return null;
    }
    case 'date':
      return value === '' || isDay(value) ? null : `'${key}' must be a day such as 2026-07-15, or empty.`;
    case 'layers':
      return value === 'all' ||
        (Array.isArray(value) && value.length > 0 && value.every((layer) => Number.isInteger(layer) && (layer as number) >= 0))
        ? null
        : `'${key}' must be 'all' or a list of layer numbers from 0.`;
  }
}

/** Returns whether a value is a day of the calendar, written as 2026-07-15. */
export function isDay(value: unknown): value is string {
  if (typeof value !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(value) || Number.isNaN(Date.parse(value))) return false;
  // A 31st of June would be read as the 1st of July.
  return new Date(value).toISOString().startsWith(value);
}

export function isExpression(text: string): boolean {
  try {
    moduleExpression(text);
    return true;
  } catch {
    return false;
  }
}

/** Names of modules are short; an engine for expressions takes no text of any length. */
const longestExpression = 10_000;

/**
 * Converts a regular expression as Python writes it into one that matches the start of a path. Throws a SyntaxError where it is
 * invalid, or has more than 10,000 characters.
 */
export function moduleExpression(python: string): RegExp {
  if (python.length > longestExpression)
    throw new SyntaxError(`A pattern has ${python.length} characters, and ${longestExpression} are the most.`);
  const javascript = python.replaceAll('(?P<', '(?<').replaceAll('(?P=', '\\k<').replaceAll('\\A', '^').replaceAll('\\Z', '$');
  return new RegExp(`^(?:${javascript})`);
}

/**
 * Returns the candidate that `word` most likely misspells, allowing one wrong letter in four; null where none is that close.
 */
export function nearestWord(word: string, candidates: readonly string[]): string | null {
  const plain = (text: string): string => text.toLowerCase().replace(/[_-]/g, '');
  let best: { candidate: string; distance: number } | null = null;
  for (const candidate of candidates) {
    const [a, b] = [plain(word), plain(candidate)];
    const most = Math.min(a.length, b.length) / 4;
    // A word from a file may be of any length.
    if (Math.abs(a.length - b.length) > most) continue;
    const distance = editDistance(a, b);
    if (distance > most || distance >= (best?.distance ?? Infinity)) continue;
    best = { candidate, distance };
  }
  return best?.candidate ?? null;
}

/** Returns how many letters must be added, left out, changed or swapped with their neighbour to turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const [row, next] = [rows[i - 1]!, [i]];
    for (let j = 1; j <= b.length; j++) {
      const least = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      next.push(isSwapped ? Math.min(least, rows[i - 2]![j - 2]! + 1) : least);
    }
    rows.push(next);
  }
  return rows[a.length]![b.length]!;
}
