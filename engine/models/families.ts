/** From a config to a DecoderSpec: one entry per model family. A field that could change the computation and is not known is refused. */
import type { GgufValue } from '../formats/gguf.ts';
import { Problem } from '../problem.ts';
import type { DecoderSpec, RopeSpec } from './spec.ts';

/** What the weights say that metadata does not: shapes of present tensors, and divisors of the rotary frequencies. */
export interface GgufFacts {
  shape(name: string): readonly number[] | null;
  readonly ropeFactors: readonly number[] | null;
}

interface Family {
  fromConfig(config: ConfigReader): DecoderSpec;
  fromGguf(metadata: MetadataReader, facts: GgufFacts): DecoderSpec;
}

/** By `model_type` of config.json and `general.architecture` of GGUF. */
const families: Readonly<Record<string, Family>> = {
  llama: { fromConfig: llamaFromConfig, fromGguf: llamaFromGguf },
};

/** Model families that can be opened. */
export const supportedFamilies: readonly string[] = Object.keys(families);

/** Far above any real model; what exceeds them is a damaged or hostile config, refused before memory is taken for it. */
const sizeLimits = {
  hiddenSize: 131_072,
  intermediateSize: 1_048_576,
  layers: 1024,
  heads: 4096,
  headDim: 2048,
  vocabularySize: 4_194_304,
  contextLength: 1_073_741_824,
} as const;

/** Fields of config.json that do not change what one forward pass computes (transformers' PretrainedConfig and common additions). */
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
  ...['chunk_size_feed_forward', 'tie_encoder_decoder', '_attn_implementation', '_attn_implementation_autoset', '_commit_hash'],
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
]);

/** The spec of a hub folder's config.json; `path` is for messages. */
export function specFromConfig(config: Readonly<Record<string, unknown>>, path: string): DecoderSpec {
  const reader = new ConfigReader(config, path);
  if (reader.optional('quantization_config') !== undefined)
    throw new Problem(
      'format-unsupported',
      `'${path}' describes quantized weights (quantization_config), which cannot be read from a hub folder.`,
      'Use the unquantized model or a GGUF of it.',
    );
  const spec = family(reader.modelType(), path).fromConfig(reader);
  reader.refuseUnread();
  return checkSpec(spec, path);
}

/** The spec of a GGUF file. */
export function specFromGguf(metadata: ReadonlyMap<string, GgufValue>, facts: GgufFacts, path: string): DecoderSpec {
  const architecture = metadata.get('general.architecture');
  if (architecture?.type !== 'string')
    throw new Problem('config-invalid', `'${path}' does not say its 'general.architecture'.`, 'Convert the model again.');
  const reader = new MetadataReader(metadata, architecture.value, path);
  const spec = family(architecture.value, path).fromGguf(reader, facts);
  reader.refuseUnread();
  return checkSpec(spec, path);
}

function family(name: string, path: string): Family {
  const found = Object.hasOwn(families, name) ? families[name] : undefined;
  if (found) return found;
  throw new Problem(
    'model-unsupported',
    `'${path}' is a '${name}' model, which is not supported yet.`,
    `Supported model types: ${supportedFamilies.join(', ')}.`,
  );
}

// ── Llama: transformers' LlamaConfig with its defaults, llama.cpp's LLM_ARCH_LLAMA ──────────────────────────────────────

function llamaFromConfig(config: ConfigReader): DecoderSpec {
  const hiddenSize = config.count('hidden_size', 4096);
  const heads = config.count('num_attention_heads', 32);
  const explicitHeadDim = config.count('head_dim', 0);
  const headDim = explicitHeadDim > 0 ? explicitHeadDim : hiddenSize / heads;
  const contextLength = config.count('max_position_embeddings', 2048);
  const activation = config.text('hidden_act', 'silu');
  if (activation !== 'silu') throw config.unsupported('hidden_act', activation);
  // Old conversion scripts' note that q and k rows are interleaved; transformers ignores it, and true would be another model.
  if (config.flag('rope_interleaved', false)) throw config.unsupported('rope_interleaved', true);
  return {
    family: 'llama',
    hiddenSize,
    intermediateSize: config.count('intermediate_size', 11008),
    layers: config.count('num_hidden_layers', 32),
    heads,
    keyValueHeads: config.count('num_key_value_heads', heads),
    headDim,
    vocabularySize: config.count('vocab_size', 32000),
    contextLength,
    normEpsilon: config.number('rms_norm_eps', 1e-6),
    attentionBias: config.flag('attention_bias', false),
    mlpBias: config.flag('mlp_bias', false),
    tiedEmbeddings: config.flag('tie_word_embeddings', false),
    activation,
    rope: ropeFromConfig(config, headDim),
  };
}

/** Old form: `rope_theta` and `rope_scaling` (kind in `type` or `rope_type`); new form: both in `rope_parameters`. */
function ropeFromConfig(config: ConfigReader, headDim: number): RopeSpec {
  const theta = config.number('rope_theta', 10000);
  const scaling = config.object('rope_scaling');
  const parameters = config.object('rope_parameters') ?? scaling;
  if (!parameters) return { theta, dimension: headDim, scaling: { kind: 'none' } };
  const kind = parameters.text('rope_type', parameters.text('type', 'default'));
  const rope = { theta: parameters.number('rope_theta', theta), dimension: headDim };
  const partial = parameters.number('partial_rotary_factor', 1);
  if (partial !== 1) throw parameters.unsupported('partial_rotary_factor', partial);
  const result = ((): RopeSpec => {
    switch (kind) {
      case 'default':
        return { ...rope, scaling: { kind: 'none' } };
      case 'linear':
        return { ...rope, scaling: { kind: 'linear', factor: parameters.number('factor') } };
      case 'llama3':
        return {
          ...rope,
          scaling: {
            kind: 'llama3',
            factor: parameters.number('factor'),
            lowFrequencyFactor: parameters.number('low_freq_factor'),
            highFrequencyFactor: parameters.number('high_freq_factor'),
            originalContextLength: parameters.number('original_max_position_embeddings'),
          },
        };
      default:
        throw parameters.unsupported('rope_type', kind);
    }
  })();
  parameters.refuseUnread();
  return result;
}

function llamaFromGguf(metadata: MetadataReader, facts: GgufFacts): DecoderSpec {
  const hiddenSize = metadata.number('embedding_length');
  const heads = metadata.number('attention.head_count');
  const headDim = metadata.number('attention.key_length', hiddenSize / heads);
  const valueDim = metadata.number('attention.value_length', headDim);
  const dimension = metadata.number('rope.dimension_count', headDim);
  for (const [key, value, usual] of [
    ['attention.value_length', valueDim, headDim],
    ['rope.dimension_count', dimension, headDim],
    ['expert_count', metadata.number('expert_count', 0), 0],
    ['expert_used_count', metadata.number('expert_used_count', 0), 0],
  ] as const)
    if (value !== usual) throw metadata.unsupported(key, value);
  metadata.ignore('tensor_data_layout', 'rope.scaling.original_context_length', 'rope.scaling.finetuned');
  const embedding = facts.shape('token_embd.weight');
  return {
    family: 'llama',
    hiddenSize,
    intermediateSize: metadata.number('feed_forward_length'),
    layers: metadata.number('block_count'),
    heads,
    keyValueHeads: metadata.number('attention.head_count_kv', heads),
    headDim,
    vocabularySize: metadata.number('vocab_size', embedding?.[0]),
    contextLength: metadata.number('context_length'),
    normEpsilon: metadata.number('attention.layer_norm_rms_epsilon'),
    attentionBias: facts.shape('blk.0.attn_q.bias') !== null,
    mlpBias: facts.shape('blk.0.ffn_gate.bias') !== null,
    tiedEmbeddings: facts.shape('output.weight') === null,
    activation: 'silu',
    rope: { theta: metadata.number('rope.freq_base', 10000), dimension, scaling: ropeScalingFromGguf(metadata, facts) },
  };
}

function ropeScalingFromGguf(metadata: MetadataReader, facts: GgufFacts): RopeSpec['scaling'] {
  const oldFactor = metadata.number('rope.scale_linear', 1);
  const factor = metadata.number('rope.scaling.factor', oldFactor);
  const kind = metadata.text('rope.scaling.type', oldFactor === 1 ? 'none' : 'linear');
  if (kind !== 'none' && kind !== 'linear') throw metadata.unsupported('rope.scaling.type', kind);
  if (facts.ropeFactors) {
    if (kind === 'linear' && factor !== 1)
      throw metadata.unsupported('rope.scaling.type', 'linear together with rope_freqs.weight');
    return { kind: 'factors', factors: facts.ropeFactors };
  }
  return kind === 'linear' ? { kind: 'linear', factor } : { kind: 'none' };
}

// ── Readers and checks ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads fields of config.json by type and remembers which were read. */
class ConfigReader {
  readonly #config: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #prefix: string;
  readonly #read = new Set<string>();

  constructor(config: Readonly<Record<string, unknown>>, path: string, prefix = '') {
    this.#config = config;
    this.#path = path;
    this.#prefix = prefix;
  }

  #invalid(key: string, what: string): Problem {
    return new Problem(
      'config-invalid',
      `'${this.#path}': '${this.#prefix}${key}' ${what}.`,
      'Correct the file or download it again.',
    );
  }

  unsupported(key: string, value: unknown): Problem {
    return new Problem(
      'model-unsupported',
      `'${this.#path}': '${this.#prefix}${key}' is ${JSON.stringify(value)}, which is not supported yet.`,
      'Choose another model of this family.',
    );
  }

  /** Null counts as absent, as in transformers. */
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

  count(key: string, fallback: number): number {
    const value = this.number(key, fallback);
    if (!Number.isSafeInteger(value) || value < 0) throw this.#invalid(key, `is ${value}; it must be a whole number`);
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

  object(key: string): ConfigReader | null {
    const value = this.optional(key);
    if (value === undefined) return null;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.#invalid(key, 'must be an object');
    return new ConfigReader(value as Record<string, unknown>, this.#path, `${this.#prefix}${key}.`);
  }

  /** Every field must be read, neutral or null. */
  refuseUnread(): void {
    for (const [key, value] of Object.entries(this.#config))
      if (value !== null && !this.#read.has(key) && !neutralFields.has(key))
        throw new Problem(
          'model-unsupported',
          `'${this.#path}' has the field '${this.#prefix}${key}', whose meaning is not known here.`,
          'The model may compute something this version does not know; choose another one.',
        );
  }
}

/** Reads metadata under the architecture's prefix and remembers which were read. */
class MetadataReader {
  readonly #metadata: ReadonlyMap<string, GgufValue>;
  readonly #architecture: string;
  readonly #path: string;
  readonly #read = new Set<string>();

  constructor(metadata: ReadonlyMap<string, GgufValue>, architecture: string, path: string) {
    this.#metadata = metadata;
    this.#architecture = architecture;
    this.#path = path;
  }

  #key(key: string): string {
    return `${this.#architecture}.${key}`;
  }

  unsupported(key: string, value: unknown): Problem {
    return new Problem(
      'model-unsupported',
      `'${this.#path}': '${this.#key(key)}' is ${JSON.stringify(value)}, which is not supported yet.`,
      'Choose another model of this family.',
    );
  }

  number(key: string, fallback?: number): number {
    this.#read.add(this.#key(key));
    const entry = this.#metadata.get(this.#key(key));
    if (entry === undefined && fallback !== undefined) return fallback;
    const invalid = (what: string): Problem =>
      new Problem('config-invalid', `'${this.#path}': '${this.#key(key)}' ${what}.`, 'Convert the model again.');
    if (entry === undefined) throw invalid('is missing');
    // One number per layer is only supported when all are the same.
    const values: readonly unknown[] = entry.type === 'array' ? entry.value : [entry.value];
    if (new Set(values).size > 1) throw this.unsupported(key, 'different from layer to layer');
    const value = typeof values[0] === 'bigint' ? Number(values[0]) : values[0];
    if (typeof value !== 'number' || !Number.isFinite(value)) throw invalid('must be a number');
    // Stored as float32: the shortest decimal that rounds to it is what the config said.
    return entry.type === 'float32' ? shortestDecimal(value) : value;
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
      if (key.startsWith(`${this.#architecture}.`) && !this.#read.has(key))
        throw new Problem(
          'model-unsupported',
          `'${this.#path}' has the metadata '${key}', whose meaning is not known here.`,
          'The model may compute something this version does not know; choose another one.',
        );
  }
}

function shortestDecimal(value: number): number {
  for (let digits = 6; digits <= 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

function checkSpec(spec: DecoderSpec, path: string): DecoderSpec {
  const invalid = (what: string): Problem =>
    new Problem(
      'config-invalid',
      `'${path}': ${what}.`,
      'The sizes do not describe a model; correct the file or download it again.',
    );
  for (const [key, limit] of Object.entries(sizeLimits)) {
    const value = spec[key as keyof typeof sizeLimits];
    if (!Number.isSafeInteger(value) || value < 1 || value > limit)
      throw invalid(`${words(key)} is ${value}; it must be a whole number from 1 to ${limit}`);
  }
  if (spec.keyValueHeads < 1 || spec.heads % spec.keyValueHeads !== 0)
    throw invalid(`${spec.heads} attention heads cannot share ${spec.keyValueHeads} key and value heads`);
  if (spec.headDim % 2 !== 0) throw invalid(`the head dimension ${spec.headDim} is odd`);
  if (!(spec.normEpsilon > 0 && spec.normEpsilon < 1)) throw invalid(`the norm epsilon is ${spec.normEpsilon}`);
  const { theta, scaling } = spec.rope;
  if (!(theta > 0)) throw invalid(`the rotary base is ${theta}`);
  if (scaling.kind === 'factors') {
    if (scaling.factors.length !== spec.rope.dimension / 2 || scaling.factors.some((factor) => !(factor > 0)))
      throw invalid(`the rotary divisors are not ${spec.rope.dimension / 2} positive numbers`);
  } else if (scaling.kind !== 'none' && Object.values(scaling).some((value) => typeof value === 'number' && !(value > 0)))
    throw invalid('the rotary scaling must have positive numbers');
  if (scaling.kind === 'llama3' && scaling.highFrequencyFactor === scaling.lowFrequencyFactor)
    throw invalid('the two frequency factors of the rotary scaling must differ');
  return spec;
}

/** `hiddenSize` as `hidden size`. */
function words(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
