/**
 * Lists the columns of rows: those that each format reads, and those that would change the row and are refused because they are
 * not supported. The names come from TRL, axolotl, LLaMA-Factory, ms-swift, torchtune, NeMo, verl and OpenAI's fine-tuning
 * files.
 */
import { Problem } from '../problem.ts';
import { mappingText } from './mapping.ts';
import { isMissing } from './values.ts';

/** A refusal says why a column is not accepted. `{}` in its texts stands for the column's name. */
interface Refusal {
  /** Says what the column means here. It follows "the row has '{}': ". */
  readonly why: string;
  /** Says what to do. It may depend on the other columns of the row. */
  readonly hint: string | ((row: Fields) => string);
  /** Returns whether a value changes the row. Without this function every value that is not empty does. */
  readonly changes?: (value: unknown) => boolean;
  /** Is true where an empty value, such as `[]` or an empty text, changes the row too. Null never does. */
  readonly evenEmpty?: boolean;
}

/** Lists the columns of a row, of a message in it, or of a part of a message. */
export interface ColumnTable {
  /** Maps the folded form of each column that is read to its names. */
  readonly used: ReadonlyMap<string, readonly string[]>;
  /** Maps the folded form of a name to its refusal. */
  readonly refused: ReadonlyMap<string, Refusal>;
}

/** Says which object the columns belong to. */
export interface ColumnPlace {
  /** Names the object in error messages: `the row`, `message 2`. */
  readonly where: string;
  /** Stands before the name in the list of unused columns: empty for the row, `messages[].` for a message. */
  readonly path: string;
}

export type Fields = Readonly<Record<string, unknown>>;

/**
 * Refuses columns that change the row and are not supported, and columns whose name differs from one that is read only in case,
 * underscores or hyphens. Adds every other column that the table does not have to `unused`. Columns without a value are
 * ignored, because tables merged from several sources fill in what a row lacks.
 */
export function checkColumns(value: Fields, table: ColumnTable, { where, path }: ColumnPlace, unused: Set<string>): void {
  for (const name of Object.keys(value)) {
    const read = table.used.get(fold(name));
    if (read?.includes(name) === true) continue;
    const refusal = refusalOf(name, value[name], table.refused);
    if (refusal !== null) throw refused(where, name, refusal, value);
    if (isEmpty(value[name])) continue;
    if (read !== undefined) throw refused(where, name, misspelt(read[0]!), value);
    unused.add(`${path}${name}`);
  }
}

/**
 * Returns the problem of a preference row, whose columns hold answers to compare, or null for other rows. It is reported when
 * the row has nothing else to train on.
 */
export function preferenceProblem(value: Fields): Problem | null {
  const name = Object.keys(value).find((key) => refusalOf(key, value[key], preferenceColumns) !== null);
  return name === undefined ? null : refused('the row', name, preference, value);
}

function refusalOf(name: string, value: unknown, refused: ColumnTable['refused']): Refusal | null {
  const refusal = refused.get(fold(name));
  if (refusal === undefined || value === null || value === undefined) return null;
  if (isEmpty(value) && refusal.evenEmpty !== true) return null;
  return (refusal.changes?.(value) ?? true) ? refusal : null;
}

/**
 * Returns a name without the differences in how programs and people spell it: `loss_mask`, `lossMask` and `Loss-Mask` fold to
 * the same.
 */
function fold(name: string): string {
  return name.toLowerCase().replace(/[-_ ]/g, '');
}

function refused(where: string, name: string, { why, hint }: Refusal, value: Fields): Problem {
  const written = (text: string) => text.replaceAll('{}', name);
  return new Problem(
    'format-unsupported',
    `${where} has '${name}': ${written(why)}`,
    written(typeof hint === 'string' ? hint : hint(value)),
  );
}

/** Returns whether a value is empty. JSON text counts too, because tools are often stored that way. */
export function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  if (typeof value === 'string') return ['', '[]', '{}', 'null', 'None'].includes(value.trim());
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/**
 * Returns the numbers that a value states in any spelling: `false`, `"False "`, `"0.5"`, `[0, 0]`. Other texts and objects have
 * none.
 */
function numbersIn(value: unknown): number[] {
  if (typeof value === 'boolean' || typeof value === 'number') return [Number(value)];
  if (Array.isArray(value)) return value.filter((entry) => !Array.isArray(entry)).flatMap(numbersIn);
  if (typeof value !== 'string' || value.trim() === '') return [];
  const text = value.trim().toLowerCase();
  const number = text === 'true' ? 1 : text === 'false' ? 0 : Number(text);
  return Number.isNaN(number) ? [] : [number];
}

const isVerdict = (value: unknown): boolean =>
  !Array.isArray(value) && numbersIn(value).some((number) => number === 0 || number === 1);

function refusals(names: readonly string[], refusal: Refusal): [string, Refusal][] {
  return names.map((name) => [fold(name), refusal]);
}

function table(used: readonly string[], ...groups: readonly [string, Refusal][][]): ColumnTable {
  return { used: Map.groupBy(used, fold), refused: new Map(groups.flat()) };
}

// ── Reasons ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const misspelt = (read: string): Refusal => ({
  why: `only '${read}' is read, with these letters.`,
  hint: `Rename '{}' to '${read}', or remove it.`,
});

const preference: Refusal = {
  why: 'it holds answers to be compared, and training on preferences is not supported yet.',
  hint: `To train on the better answers alone, write each row as {"messages": [...]} with that answer last, without '{}'.`,
};
const rankedLists: Refusal = { ...preference, changes: Array.isArray };
const preferenceColumns: ReadonlyMap<string, Refusal> = new Map([
  ...refusals(
    [
      ...['chosen', 'rejected', 'chosen_response', 'rejected_response', 'rejected_responses', 'chosen_messages'],
      ...['rejected_messages', 'chosen_rating', 'rejected_rating', 'score_chosen', 'score_rejected', 'chosen_score'],
      ...['rejected_score', 'preferred_output', 'non_preferred_output', 'preferred_completion', 'non_preferred_completion'],
      ...['chosen_input_ids', 'rejected_input_ids', 'positive_messages', 'negative_messages'],
    ],
    preference,
  ),
  ...refusals(['responses', 'completions', 'candidates', 'ranking', 'rankings', 'ranks'], rankedLists),
]);

const verdict: Refusal = {
  why: 'it says whether the answer is a good one, and training on such verdicts (KTO) is not supported yet.',
  hint: `To train on the good answers alone, keep only their rows and remove '{}' from them.`,
};
const namedVerdict = refusals(['kto_tag', 'kto_label', 'desirable', 'is_desirable', 'undesirable', 'is_undesirable'], verdict);
/** Classification data sets use the same column name. */
const label = refusals(['label'], { ...verdict, changes: isVerdict });

/** Nothing writes tools where there is no chat template. */
const plainTools = refusals(['tools', 'functions'], {
  why: 'a prompt that is plain text has no place for tools.',
  hint: `Write the row as {"messages": [...]}, leave it out, or remove '{}' if it calls no tool.`,
});
const chosenTool = refusals(['function_call', 'tool_choice'], {
  why: 'which tool is to be called is not given to the model.',
  hint: `Leave the row out, or remove '{}'.`,
  changes: (value) => value !== 'auto' && value !== 'none',
});

/** These columns of a row or a message hold images, audio or video. */
export const mediaColumns: readonly string[] = [
  'image',
  'images',
  'video',
  'videos',
  'audio',
  'audios',
  'image_url',
  'input_audio',
];
const mediaHint = `Leave the row out, remove '{}' and what stands in the texts for it, or drop all pictures and sounds (media).`;
const media = [
  ...refusals(mediaColumns, { why: 'only text can be trained on.', hint: mediaHint }),
  ...refusals(
    ['pixel_values', 'pixel_values_videos', 'image_grid_thw', 'video_grid_thw', 'input_features', 'mm_token_type_ids'],
    { why: 'only text can be trained on.', hint: `Leave the row out, or remove '{}' and what stands in the texts for it.` },
  ),
];

const history = refusals(['history'], {
  why: 'earlier turns are not read from there.',
  hint: 'Write all turns of the row as {"messages": [...]}, the earlier ones first.',
});

const rowWeight = refusals(
  [
    ...['weight', 'weights', 'sample_weight', 'sample_weights', 'example_weight', 'example_weights', 'loss_weight'],
    ...['loss_weights', 'token_weights', 'loss_scale'],
  ],
  {
    why: 'rows cannot have weights of their own.',
    hint: `Leave the row out, repeat it in the file, or remove '{}'.`,
    changes: (value) => numbersIn(value).some((number) => number !== 1),
  },
);
const unlearnedRow: Refusal = {
  why: 'it says that the row is not to be learned.',
  hint: 'Leave the row out of the file.',
};
const rowTrained = [
  // A `loss` with any other number is a measurement.
  ...refusals(['train', 'training', 'trainable', 'loss'], {
    ...unlearnedRow,
    changes: (value) => numbersIn(value).includes(0),
  }),
  ...refusals(['masked'], { ...unlearnedRow, changes: (value) => numbersIn(value).includes(1) }),
];
const masksOfTokens = ['completion_mask', 'response_mask', 'assistant_masks', 'assistant_mask', 'loss_mask'];
const maskBesideText = refusals(masksOfTokens, {
  why: 'which tokens of a text are trained is not read from there.',
  hint: `Write the row as "input_ids" with '{}', or remove it.`,
});

/** NeMo names the speakers whose turns are not trained. Speakers other than the assistant are never trained anyway. */
const speakerMask = refusals(['mask'], {
  why: 'it names a speaker whose turns are not to be learned.',
  hint: `Write "train": false into those turns and remove '{}'.`,
  changes: (value) => typeof value !== 'string' || !/^(user|human|system)$/i.test(value),
});

const plainSystem = refusals(['system', 'system_prompt'], {
  why: 'a prompt that is plain text has no place for it.',
  hint: `Write it at the start of the prompt, or write the row as {"messages": [...]}, and remove '{}'.`,
});

/** Some data sets say with such a column only whether a row has thoughts, or how long they are. */
const thoughtFlags: ReadonlySet<unknown> = new Set(['on', 'off', 'yes', 'no', 'true', 'false', 'low', 'medium', 'high']);
/** Returns whether a value in a column for thoughts is one. */
export const isThought = (value: unknown): boolean =>
  (typeof value === 'string' && value !== '' && !thoughtFlags.has(value.trim().toLowerCase())) ||
  (typeof value === 'object' && value !== null);

/** Lists the columns that may hold the reasoning of a message. The first is the name that OpenAI and most templates use. */
export const reasoningColumns = ['reasoning_content', 'reasoning', 'thinking', 'thought'] as const;
const listsOfThoughts = refusals(['thoughts', 'reasoning_details'], {
  why: 'thoughts are not read from there.',
  hint: `Write the thought of the answer as one text in "reasoning_content", or remove '{}'.`,
  changes: isThought,
});
const rowThoughts = refusals(reasoningColumns, {
  why: 'thoughts are read from the turn of the assistant only.',
  hint: `Write the row as {"messages": [...]} with "reasoning_content" in its answer, or remove '{}'.`,
  changes: isThought,
});
const plainThoughts = refusals(reasoningColumns, {
  why: 'a prompt that is plain text has no place for a thought.',
  hint: `For a model with a chat template, read prompts as questions (promptFormat chat). Otherwise write the thought into the completion and remove '{}'.`,
  changes: isThought,
});

/** These columns hold what a question is about. Where they stand in it differs between data sets. */
export const materialColumns: readonly string[] = [
  'context',
  'contexts',
  'passage',
  'document',
  'background',
  'choices',
  'options',
];
const besideQuestion = refusals(materialColumns, {
  why: 'the question may need it, and where it stands in the question is not known.',
  hint: (row) => `Say it in a mapping, such as ${mapOption(row, questionColumnsOf(row)!)}, or remove '{}'.`,
});

const everyRow = [...preferenceColumns, ...media, ...rowWeight, ...rowTrained, ...maskBesideText, ...namedVerdict];
const everyAnswer = [...everyRow, ...label, ...history, ...speakerMask];
const everyTurn = [...everyAnswer, ...chosenTool, ...listsOfThoughts];

// ── Tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const besideTurns = ['system', 'system_prompt', 'chat_template_kwargs', 'documents', 'tools', 'functions'];

/** Holds the table of columns for each kind of row. */
export const rowColumns = {
  messages: table(['messages', ...besideTurns], everyTurn, rowThoughts),
  sharegpt: table(['conversations', ...besideTurns], everyTurn, rowThoughts),
  /** Holds the columns of rows whose `prompt` or `completion` is a list of messages. */
  turns: table(['prompt', 'completion', ...besideTurns, ...reasoningColumns], everyTurn),
  alpaca: table(['instruction', 'input', 'output', ...besideTurns, ...reasoningColumns], everyTurn),
  /** Holds the columns of Alpaca rows for a model without a chat template. */
  alpacaText: table(['instruction', 'input', 'output', 'system', 'system_prompt'], everyTurn, plainTools, plainThoughts),
  completion: table(['prompt', 'completion'], everyTurn, plainTools, plainSystem, plainThoughts),
  /** Holds the columns beside a question and its answer. */
  question: table([...besideTurns, ...reasoningColumns], everyTurn, besideQuestion),
  /** Holds the columns beside a question and its answer for a model without a chat template. */
  questionText: table(['system', 'system_prompt'], everyTurn, besideQuestion, plainTools, plainThoughts),
  text: table(['text'], everyRow),
} as const satisfies Record<string, ColumnTable>;

/** Lists what the columns of a question and of its answer are called, in small letters. */
const questionNames: ReadonlySet<string> = new Set(['question', 'query', 'instruction', 'prompt', 'input', 'problem', 'user']);
const answerNames: ReadonlySet<string> = new Set(['answer', 'response', 'output', 'completion', 'solution', 'assistant']);

/** Names the columns of a row that are its question and its answer. */
export interface QuestionColumns {
  readonly question: string;
  readonly answer: string;
}

/**
 * Returns the columns of a row that are called as a question and an answer usually are, such as `question` and `answer` or
 * `Instruction` and `Response`. Returns null where there are several of either, because then it is not clear which are meant.
 */
export function questionColumnsOf(row: Fields): QuestionColumns | null {
  const columns = namedQuestion(row);
  return columns === null || isMissing(row[columns.question]) || isMissing(row[columns.answer]) ? null : columns;
}

/** Returns what `questionColumnsOf` does, and also columns whose value is null. */
export function namedQuestion(row: Fields): QuestionColumns | null {
  const [question, answer] = [questionNames, answerNames].map((names) => {
    const found = Object.keys(row).filter((name) => names.has(name.toLowerCase()));
    return found.length === 1 ? found[0] : undefined;
  });
  return question === undefined || answer === undefined ? null : { question, answer };
}

/**
 * Returns the option of a command that maps a question and its answer. The question begins with the columns of the row that it may
 * need, such as `context`.
 */
export function mapOption(row: Fields, { question, answer }: QuestionColumns): string {
  const material = Object.keys(row).filter((name) => materialColumns.includes(name.toLowerCase()) && !isEmpty(row[name]));
  const template = [...material, question].map((name) => `{${name}}`).join(' ');
  const mapping = mappingText({ question: material.length === 0 ? question : { template }, answer, system: null });
  return /^[\w=,.-]+$/.test(mapping) ? `--map ${mapping}` : `--map "${mapping}"`;
}

/** Returns the table of columns of a row with this question and answer. `plain` is true for a model without a chat template. */
export function questionTable({ question, answer }: QuestionColumns, plain: boolean): ColumnTable {
  const { used, refused } = plain ? rowColumns.questionText : rowColumns.question;
  return { used: new Map([...used, [fold(question), [question]], [fold(answer), [answer]]]), refused };
}

/** Lists the columns of token rows that say for each token whether it is trained (1) or not (0). */
export const tokenMasks = [...masksOfTokens, 'loss_scale', 'loss_weights', 'token_weights', 'weights'];
/** Lists the columns that say where the packed sequences of a row begin. A row may hold only one sequence. */
export const sequenceLengths = ['seq_lens', 'seq_lengths', 'cu_seqlens', 'cu_seq_lens', 'cu_seq_lens_q', 'cu_seq_lens_k'];

export const tokenColumns = table(
  ['input_ids', 'labels', 'attention_mask', 'position_ids', 'token_type_ids', ...tokenMasks, ...sequenceLengths],
  everyRow,
  label,
  refusals(['prompt_mask', 'mask', 'masks', 'label_mask', 'labels_mask'], {
    why: 'which of its values means that a token is trained differs between programs.',
    hint: `Write "labels" with -100 for every token that is not trained, and remove '{}'.`,
    evenEmpty: true,
  }),
  refusals(['label_ids', 'labels_ids', 'shift_labels', 'shifted_labels', 'target_ids'], {
    why: 'labels are not read from there.',
    hint: `Write "labels", each at the place of its token, with -100 for every token that is not trained, and remove '{}'.`,
    evenEmpty: true,
  }),
  refusals(
    [
      ...['segment_ids', 'sequence_ids', 'document_ids', 'doc_ids', 'seq_ids', 'seq_idx'],
      ...['inputs_segmentation', 'targets_segmentation'],
    ],
    {
      why: 'it says of which sequence each token is, and a row has one only.',
      hint: `Write each sequence as a row of its own, without '{}'.`,
      changes: (value) => !Array.isArray(value) || new Set(value).size > 1,
    },
  ),
);

/** Lists the columns of messages and of their parts that say whether they are trained. */
export const trainedColumns = [
  'train',
  'training',
  'trainable',
  'loss',
  'masked',
  'weight',
  'loss_weight',
  'loss_scale',
] as const;
/** Lists the columns by which a turn can ask to be trained. `weight` is not among them: a weight of 1 is the default. */
export const askColumns = ['train', 'training', 'trainable', 'loss', 'masked'] as const;

/** Mistral's `prefix` marks a turn without an end token; torchtune's `eot` (end of turn) is false on one. */
const unendedTurn: Refusal = {
  why: 'it says that the turn does not end, and every answer is trained with its end.',
  hint: `Leave the row out, or join the turn with what follows and remove '{}'.`,
};

const eachTurn = [
  ...media,
  ...refusals(['ipython'], {
    why: 'that a turn is code to be run is not given to the model.',
    hint: `Write the turn with "tool_calls", leave the row out, or remove '{}'.`,
    changes: (value) => value !== false,
  }),
  ...refusals(['reasoning_details', 'thoughts'], {
    why: 'thoughts are not read from there.',
    hint: `Write them as "reasoning_content", or remove '{}'.`,
  }),
  ...refusals(['refusal'], {
    why: 'an answer is not read from there.',
    hint: `Write its text into the content and remove '{}'.`,
  }),
  ...refusals(['channel', 'recipient'], {
    why: 'it says to whom a turn speaks, which is not supported yet.',
    hint: `Leave the row out, or remove '{}'.`,
  }),
  ...refusals(['prefix'], { ...unendedTurn, changes: (value) => value !== false }),
  ...refusals(['eot'], { ...unendedTurn, changes: (value) => value !== true }),
  ...refusals(['train_detail', 'training_detail', 'mask', 'loss_mask'], {
    why: 'a turn is trained as a whole or not at all.',
    hint: `Write "train": false into a turn that is not to be learned and remove '{}'.`,
  }),
  ...refusals(['chosen', 'rejected', 'rejected_content'], preference),
];

const besideContent = [...reasoningColumns, 'tool_calls', 'function_call', 'tool_call_id', 'name'];

export const messageColumns = table(['role', 'content', ...besideContent, ...trainedColumns], eachTurn);
export const shareGptColumns = table(
  ['from', 'role', 'value', 'content', ...besideContent, ...trainedColumns],
  eachTurn,
  refusals(['label'], {
    why: 'what it says of the turn is not given to the model.',
    hint: `Write it into the text of the turn, or remove '{}'.`,
  }),
);
export const partColumns = table(['type', 'text', ...trainedColumns]);
/** Lists the types of parts that hold the thought of an answer, and so the columns in which such parts may have it. */
export const thoughtParts = ['thinking', 'reasoning', 'thought', 'thoughts'] as const;
export const thoughtPartColumns = table(['type', 'text', ...thoughtParts, ...trainedColumns]);

const notOfRows: Refusal = {
  why: 'a row cannot set it.',
  hint: `Remove '{}' from "chat_template_kwargs".`,
};

/** Lists the template variables that are the same for every row, and that a row therefore cannot set. */
export const templateColumns = table(
  [],
  refusals(['messages', 'conversation', 'tools', 'chat_template', 'add_generation_prompt', 'continue_final_message'], {
    ...notOfRows,
    changes: (value) => value !== false,
  }),
  refusals(['bos_token', 'eos_token'], { ...notOfRows, evenEmpty: true }),
  refusals(['strftime_now', 'raise_exception', 'range', 'namespace', 'true', 'false', 'none'], {
    ...notOfRows,
    evenEmpty: true,
  }),
);

/** Returns whether a template variable of this name is the same for every row, so that a row cannot set it. */
export function isSetForAll(name: string): boolean {
  return templateColumns.refused.has(fold(name));
}
