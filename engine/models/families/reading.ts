/**
 * Reads the fields of a config one by one and refuses those that were not read, because an unknown field could change the
 * computation.
 */
import type { GgufValue } from '../../formats/gguf.ts';
import { Problem } from '../../problem.ts';
import { sizeLimits } from '../limits.ts';
import { packingFields } from '../packed.ts';

/** Holds the fields of config.json that do not change a forward pass (transformers' PretrainedConfig and common additions). */
const neutralFields = new Set([
  ...['architectures', 'model_type', 'transformers_version', 'torch_dtype', 'dtype', 'initializer_range', 'use_cache'],
  ...['pretraining_tp', 'attention_dropout', 'hidden_dropout', 'resid_pdrop', 'embd_pdrop', '_name_or_path', 'is_llama_config'],
  ...['bos_token_id', 'eos_token_id', 'pad_token_id', 'sep_token_id', 'cls_token_id', 'mask_token_id', 'unk_token_id'],
  ...['decoder_start_token_id', 'transformers.js_config', 'output_attentions', 'output_hidden_states', 'return_dict'],
  ...[
    'return_dict_in_generate',
    'id2label',
    'label2id',
    'num_labels',
    'problem_type',
    'task_specific_params',
    'tokenizer_class',
  ],
  ...['prefix', 'finetuning_task', 'torchscript', 'use_bfloat16', 'tf_legacy_loss', 'remove_invalid_values', 'pruned_heads'],
  ...[
    'chunk_size_feed_forward',
    'tie_encoder_decoder',
    '_attn_implementation',
    '_attn_implementation_autoset',
    '_commit_hash',
    'cache_implementation',
  ],
  ...[
    'max_length',
    'min_length',
    'do_sample',
    'early_stopping',
    'num_beams',
    'num_beam_groups',
    'diversity_penalty',
    'temperature',
  ],
  // Dropouts of the base are off while it is adapted, because an adapter has its own dropout.
  ...[
    'residual_dropout',
    'embedding_dropout',
    'attn_pdrop',
    'classifier_dropout',
    'summary_type',
    'summary_use_proj',
    'summary_activation',
    'summary_first_dropout',
  ],
  ...['summary_proj_to_labels', 'is_decoder', 'is_encoder_decoder', 'cross_attention_hidden_size', 'add_cross_attention'],
  ...['top_k', 'top_p', 'typical_p', 'repetition_penalty', 'length_penalty', 'no_repeat_ngram_size', 'num_return_sequences'],
  ...['encoder_no_repeat_ngram_size', 'bad_words_ids', 'output_scores', 'forced_bos_token_id', 'forced_eos_token_id'],
  ...[
    'suppress_tokens',
    'begin_suppress_tokens',
    'exponential_decay_length_penalty',
    'unsloth_version',
    'unsloth_fixed',
    'auto_map',
  ],
  // How the weights are stored is judged by the tensors.
  ...packingFields,
  ...[
    'custom_pipelines',
    'output_past',
    '_num_labels',
    'model_max_length',
    'attention_probs_dropout_prob',
    'hidden_dropout_prob',
  ],
]);

/** Holds what the reader of a config shares with those of the objects inside it. */
interface Reading {
  readonly path: string;
  /** Lists the unknown fields that a person accepts. */
  readonly accept: ReadonlySet<string>;
  readonly notes: string[];
}

/** Reads fields of config.json by type and remembers which were read. */
export class ConfigReader {
  readonly #config: Readonly<Record<string, unknown>>;
  readonly #reading: Reading;
  readonly #prefix: string;
  readonly #read = new Set<string>();

  constructor(config: Readonly<Record<string, unknown>>, reading: Reading, prefix = '') {
    this.#config = config;
    this.#reading = reading;
    this.#prefix = prefix;
  }

  #invalid(key: string, what: string): Problem {
    return new Problem(
      'config-invalid',
      `'${this.#reading.path}': '${this.#prefix}${key}' ${what}.`,
      'Correct the file or download it again.',
    );
  }

  unsupported(key: string, value: unknown): Problem {
    return new Problem(
      'model-unsupported',
      `'${this.#reading.path}': '${this.#prefix}${key}' is ${JSON.stringify(value)}, which is not supported yet.`,
      'Choose another model of this family.',
    );
  }

  /** Adds a sentence for people who look at the model. */
  note(text: string): void {
    this.#reading.notes.push(text);
  }

  /** Reads a field of any type; undefined where it is absent or null, which mean the same for most fields. */
  optional(key: string): unknown {
    this.#read.add(key);
    return this.#config[key] ?? undefined;
  }

  modelType(): string {
    const value = this.optional('model_type');
    if (typeof value !== 'string') throw this.#invalid('model_type', 'is missing');
    return value;
  }

  number(key: string, fallback?: number): number {
    const value = this.optional(key) ?? fallback;
    if (value === undefined) throw this.#invalid(key, 'is missing');
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#invalid(key, 'must be a number');
    return value;
  }

  /** Reads a number where null is a value of its own, meaning none. */
  numberOrNull(key: string, fallback: number | null): number | null {
    return this.#config[key] === null || (this.#config[key] === undefined && fallback === null)
      ? (this.#read.add(key), null)
      : this.number(key, fallback ?? undefined);
  }

  /** Reads a text for each of `count` layers, or null when the field is left out. */
  layerTexts(key: string, count: number): readonly string[] | null {
    const value = this.optional(key);
    if (value === undefined) return null;
    if (!Array.isArray(value) || value.length !== count || !value.every((text) => typeof text === 'string'))
      throw this.#invalid(key, `must be a list of ${count} texts`);
    return value as string[];
  }

  count(key: string, fallback: number): number {
    const value = this.number(key, fallback);
    if (!Number.isSafeInteger(value) || value < 0) throw this.#invalid(key, `is ${value}; it must be a whole number`);
    return value;
  }

  /** Reads a number of layers, and refuses one beyond the limit. */
  layers(key: string, fallback: number): number {
    const value = this.count(key, fallback);
    if (value > sizeLimits.layers) throw this.#invalid(key, `is ${value}; at most ${sizeLimits.layers} can be right`);
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.optional(key) ?? fallback;
    if (typeof value !== 'boolean') throw this.#invalid(key, 'must be true or false');
    return value;
  }

  text(key: string, fallback: string): string {
    const value = this.optional(key) ?? fallback;
    if (typeof value !== 'string') throw this.#invalid(key, 'must be a text');
    return value;
  }

  numbers(key: string): readonly number[] | null {
    const value = this.optional(key);
    if (value === undefined) return null;
    if (!Array.isArray(value) || !value.every((element) => typeof element === 'number' && Number.isFinite(element)))
      throw this.#invalid(key, 'must be a list of numbers');
    return value as number[];
  }

  object(key: string, fallback?: Readonly<Record<string, unknown>>): ConfigReader | null {
    const value = this.optional(key) ?? fallback;
    if (value === undefined) return null;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.#invalid(key, 'must be an object');
    return new ConfigReader(value as Record<string, unknown>, this.#reading, `${this.#prefix}${key}.`);
  }

  get isEmpty(): boolean {
    return Object.keys(this.#config).length === 0;
  }

  /** Requires the usual value of a field that transformers does not read but some hub configs carry. */
  require(key: string, usual: boolean | number | string): void {
    const value = this.optional(key);
    if (value !== undefined && value !== usual) throw this.unsupported(key, value);
  }

  /** Marks fields as read that mean nothing in this family. */
  ignore(...keys: readonly string[]): void {
    for (const key of keys) this.#read.add(key);
  }

  /** Refuses a config with a field that is neither read, neutral, null nor accepted by name. */
  refuseUnread(): void {
    for (const [key, value] of Object.entries(this.#config))
      if (value !== null && !this.#read.has(key) && !neutralFields.has(key))
        acceptOrRefuse(`${this.#prefix}${key}`, 'field', this.#reading);
  }
}

function acceptOrRefuse(name: string, what: 'field' | 'metadata', { path, accept, notes }: Reading): void {
  if (!accept.has(name))
    throw new Problem(
      'field-unknown',
      `'${path}' has the ${what} '${name}', whose meaning is not known here.`,
      `The model may compute something this version does not know. If you know that '${name}' changes nothing, accept it: --accept-field ${name}.`,
      { field: name },
    );
  notes.push(
    `The ${what} '${name}', whose meaning is not known here, was accepted: the model is computed as if it were not there.`,
  );
}

/** Reads metadata under the architecture's prefix and remembers which were read. */
export class MetadataReader {
  readonly #metadata: ReadonlyMap<string, GgufValue>;
  readonly #architecture: string;
  readonly #reading: Reading;
  readonly #read = new Set<string>();

  constructor(metadata: ReadonlyMap<string, GgufValue>, architecture: string, reading: Reading) {
    this.#metadata = metadata;
    this.#architecture = architecture;
    this.#reading = reading;
  }

  /** Adds a sentence for people who look at the model. */
  note(text: string): void {
    this.#reading.notes.push(text);
  }

  /** Reads a general text such as `general.name`. */
  general(key: string): string {
    const entry = this.#metadata.get(`general.${key}`);
    return entry?.type === 'string' ? entry.value : '';
  }

  has(key: string): boolean {
    return this.#metadata.has(this.#key(key));
  }

  #key(key: string): string {
    return `${this.#architecture}.${key}`;
  }

  unsupported(key: string, value: unknown): Problem {
    return new Problem(
      'model-unsupported',
      `'${this.#reading.path}': '${this.#key(key)}' is ${JSON.stringify(value)}, which is not supported yet.`,
      'Choose another model of this family.',
    );
  }

  number(key: string, fallback?: number): number {
    this.#read.add(this.#key(key));
    const entry = this.#metadata.get(this.#key(key));
    if (entry === undefined && fallback !== undefined) return fallback;
    const invalid = (what: string): Problem =>
      new Problem('config-invalid', `'${this.#reading.path}': '${this.#key(key)}' ${what}.`, 'Convert the model again.');
    if (entry === undefined) throw invalid('is missing');
    // One number per layer is only supported when all are the same.
    const values: ArrayLike<unknown> & Iterable<unknown> = entry.type === 'array' ? entry.value : [entry.value];
    if (new Set(values).size > 1) throw this.unsupported(key, 'different from layer to layer');
    const value = typeof values[0] === 'bigint' ? Number(values[0]) : values[0];
    if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid('must be a number');
    // Stored as float32: the shortest decimal that rounds to it is what the config said.
    return entry.type === 'float32' ? shortestDecimal(value) : value;
  }

  /** Reads a number of layers, and refuses one beyond the limit. */
  layers(key: string): number {
    const value = this.number(key);
    if (!Number.isSafeInteger(value) || value < 1 || value > sizeLimits.layers) throw this.unsupported(key, value);
    return value;
  }

  /** Requires a key to be absent or to have the only supported number. */
  require(key: string, usual: number): void {
    const value = this.number(key, usual);
    if (value !== usual) throw this.unsupported(key, value);
  }

  flag(key: string, fallback: boolean): boolean {
    this.#read.add(this.#key(key));
    const entry = this.#metadata.get(this.#key(key));
    return entry?.type === 'bool' ? entry.value : fallback;
  }

  /** Reads a switch for each of `count` layers, or null when the key is left out. */
  flags(key: string, count: number): readonly boolean[] | null {
    this.#read.add(this.#key(key));
    const entry = this.#metadata.get(this.#key(key));
    if (entry === undefined) return null;
    const values: unknown = entry.value;
    if (!Array.isArray(values) || values.length !== count || !values.every((value) => typeof value === 'boolean'))
      throw this.unsupported(key, 'no list of switches, one for each layer');
    return values as boolean[];
  }

  text(key: string, fallback: string): string {
    this.#read.add(this.#key(key));
    const entry = this.#metadata.get(this.#key(key));
    return entry?.type === 'string' ? entry.value : fallback;
  }

  ignore(...keys: readonly string[]): void {
    for (const key of keys) this.#read.add(this.#key(key));
  }

  refuseUnread(): void {
    for (const key of this.#metadata.keys())
      if (key.startsWith(`${this.#architecture}.`) && !this.#read.has(key)) acceptOrRefuse(key, 'metadata', this.#reading);
  }
}

function shortestDecimal(value: number): number {
  for (let digits = 6; digits <= 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}
