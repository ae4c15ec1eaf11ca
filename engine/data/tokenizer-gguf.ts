/**
 * `tokenizer.ggml.*` metadata of a GGUF to the form of tokenizer.json and back. `tokenizer.ggml.model` and `tokenizer.ggml.pre`
 * together decide the tokenizer; an unknown pair is refused by name, never guessed.
 */
import type { GgufValue } from '../formats/gguf.ts';
import { Problem } from '../problem.ts';
import type { AddedToken, TokenizerJson, TokenizerParts } from './tokenizer.ts';

/** `tokenizer.ggml.token_type`, llama.h. */
const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

interface PreTokenizerRule {
  /** Pre-tokenizer as tokenizer.json writes it. */
  readonly json: unknown;
  readonly normalizer: unknown;
  readonly ignoreMerges: boolean;
  /** `add_bos_token` where the file does not say. */
  readonly addBos: boolean;
}

const byteLevel = (useRegex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});
const splitThenBytes = (pattern: string) => ({
  type: 'Sequence',
  pretokenizers: [{ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }, byteLevel(false)],
});

/** The pre-tokenizers of byte-level BPE that we know exactly: llama.cpp, llama-vocab.cpp, and the tokenizer.json of the models. */
const preTokenizers: Readonly<Record<string, PreTokenizerRule>> = {
  'gpt-2': { json: byteLevel(true), normalizer: null, ignoreMerges: false, addBos: false },
  // Every digit by itself, then GPT-2's pattern.
  smollm: {
    json: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)] },
    normalizer: null,
    ignoreMerges: false,
    addBos: false,
  },
  'llama-bpe': {
    json: splitThenBytes(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
    normalizer: null,
    ignoreMerges: true,
    addBos: true,
  },
  qwen2: {
    json: splitThenBytes(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ),
    normalizer: { type: 'NFC' },
    ignoreMerges: false,
    addBos: false,
  },
};

/** The tokenizer of a GGUF in the hub's form. */
export function toTokenizerJson(metadata: ReadonlyMap<string, GgufValue>): TokenizerParts {
  const field = (name: string) => metadata.get(`tokenizer.ggml.${name}`)?.value;
  const model = field('model');
  if (model === undefined || model === 'none')
    throw new Problem('tokenizer-missing', 'The GGUF file has no tokenizer.', 'Use token ids, or a file with its vocabulary.');
  if (model !== 'gpt2')
    throw new Problem(
      'tokenizer-unsupported',
      `The GGUF file has a tokenizer of the kind '${String(model)}', which is not supported yet.`,
      'Use the model as a hub folder with its tokenizer.json.',
    );
  const pre = field('pre');
  const rule = typeof pre === 'string' ? preTokenizers[pre] : undefined;
  if (rule === undefined)
    throw new Problem(
      'tokenizer-unsupported',
      `The GGUF file splits text by '${String(pre ?? 'default')}' (tokenizer.ggml.pre); known are ${Object.keys(preTokenizers).join(', ')}.`,
      'Use the model as a hub folder with its tokenizer.json.',
    );
  const tokens = strings(field('tokens'), 'tokenizer.ggml.tokens');
  const types = numbers(field('token_type'));
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  const added: AddedToken[] = [];
  tokens.forEach((content, id) => {
    const type = types[id] ?? tokenType.normal;
    if (type === tokenType.unused) return;
    vocab[content] = id;
    if (type === tokenType.control || type === tokenType.userDefined || type === tokenType.unknown)
      added.push({
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: type !== tokenType.userDefined,
      });
  });
  const merges = strings(field('merges'), 'tokenizer.ggml.merges')
    .map(splitMerge)
    // Some converters write merges whose tokens were cut from the vocabulary: they can never apply.
    .filter(([left, right]) => left in vocab && right in vocab && left + right in vocab);
  const tokenAt = (name: string) => {
    const id = field(name);
    return id === undefined ? null : (tokens[Number(id)] ?? null);
  };
  const bos = tokenAt('bos_token_id');
  const addBosField = field('add_bos_token');
  const addBos = (addBosField === undefined ? rule.addBos : addBosField === true) && bos !== null;
  const template = metadata.get('tokenizer.chat_template')?.value;
  const json: TokenizerJson & Record<string, unknown> = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: rule.normalizer,
    pre_tokenizer: rule.json,
    post_processor: addBos ? prependProcessor(bos, vocab[bos]!) : null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: rule.ignoreMerges,
      vocab,
      merges,
    },
  } as TokenizerJson & Record<string, unknown>;
  const stops = ['eot_token_id', 'eom_token_id'].map(field).filter((id) => id !== undefined);
  return {
    json,
    bos,
    eos: tokenAt('eos_token_id'),
    unknown: tokenAt('unknown_token_id'),
    padding: tokenAt('padding_token_id'),
    addBos,
    extraStopTokens: stops.map(Number),
    chatTemplate: typeof template === 'string' ? template : null,
  };
}

/** Metadata for a GGUF writer. Refuses what llama.cpp would tokenize differently. */
export function fromTokenizerJson(
  parts: TokenizerParts,
  stopTokens: readonly number[],
  vocabularySize: number,
  idOf: (token: string) => number | null,
): Map<string, GgufValue> {
  const { json } = parts;
  const pre = recognisePreTokenizer(json);
  if (json.model.type !== 'BPE' || pre === null)
    throw new Problem(
      'tokenizer-unsupported',
      `This tokenizer (${json.model.type}) cannot be written to GGUF: how it splits text has no known name there.`,
      `Export as safetensors, or use a model whose tokenizer is one of ${Object.keys(preTokenizers).join(', ')}.`,
    );
  const tokens = Array.from({ length: vocabularySize }, (_, id) => `[PAD${id}]`);
  const types: number[] = Array.from({ length: vocabularySize }, () => tokenType.unused);
  const put = (content: string, id: number, type: number) => {
    if (id >= vocabularySize)
      throw new Problem(
        'tokenizer-unsupported',
        `The tokenizer's token ${id} lies beyond the model's vocabulary of ${vocabularySize}.`,
        'Use the tokenizer that belongs to the model.',
      );
    tokens[id] = content;
    types[id] = type;
  };
  for (const [content, id] of Object.entries(json.model.vocab)) put(content, id, tokenType.normal);
  for (const token of json.added_tokens)
    put(token.content, token.id, token.special ? tokenType.control : tokenType.userDefined);

  const values = new Map<string, GgufValue>();
  const set = (name: string, value: GgufValue) => values.set(`tokenizer.ggml.${name}`, value);
  const merges = json.model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  set('model', { type: 'string', value: 'gpt2' });
  set('pre', { type: 'string', value: pre });
  set('tokens', { type: 'array', of: 'string', value: tokens });
  set('token_type', { type: 'array', of: 'int32', value: types });
  set('merges', { type: 'array', of: 'string', value: merges });
  const named = {
    bos_token_id: parts.bos,
    eos_token_id: parts.eos,
    unknown_token_id: parts.unknown,
    padding_token_id: parts.padding,
  };
  for (const [name, token] of Object.entries(named)) {
    const id = token === null ? null : idOf(token);
    if (id !== null) set(name, { type: 'uint32', value: id });
  }
  const eos = parts.eos === null ? null : idOf(parts.eos);
  const endOfTurn = stopTokens.find((id) => id !== eos);
  if (endOfTurn !== undefined) set('eot_token_id', { type: 'uint32', value: endOfTurn });
  set('add_bos_token', { type: 'bool', value: parts.addBos });
  if (parts.chatTemplate !== null) values.set('tokenizer.chat_template', { type: 'string', value: parts.chatTemplate });
  return values;
}

/** The name of the rule that splits text as this tokenizer.json does, or null. */
function recognisePreTokenizer(json: TokenizerJson): string | null {
  const wanted = canonical(json.pre_tokenizer);
  for (const [name, rule] of Object.entries(preTokenizers)) {
    if (canonical(rule.json) === wanted && canonical(rule.normalizer) === canonical(json.normalizer)) return name;
  }
  return null;
}

/** Fields that change offsets only, or defaults that may be left out, do not count. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (key, inner: unknown) => {
    if (key === 'trim_offsets' || (key === 'invert' && inner === false)) return undefined;
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    const object = inner as Record<string, unknown>;
    const complete = object['type'] === 'ByteLevel' && !('use_regex' in object) ? { ...object, use_regex: true } : object;
    return Object.fromEntries(Object.entries(complete).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function prependProcessor(token: string, id: number): unknown {
  const special = { SpecialToken: { id: token, type_id: 0 } };
  const text = (name: string, type: number) => ({ Sequence: { id: name, type_id: type } });
  return {
    type: 'TemplateProcessing',
    single: [special, text('A', 0)],
    pair: [special, text('A', 0), text('B', 1)],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
}

/** `left right`: neither half holds a space, byte-level vocabularies write it as Ġ. */
function splitMerge(merge: string): [string, string] {
  const at = merge.indexOf(' ', 1);
  return [merge.slice(0, at), merge.slice(at + 1)];
}

function strings(value: GgufValue['value'] | undefined, name: string): readonly string[] {
  if (!isStrings(value))
    throw new Problem('file-damaged', `The GGUF file has no list of texts '${name}'.`, 'Get the file again.');
  return value;
}

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function numbers(value: GgufValue['value'] | undefined): number[] {
  return typeof value === 'object' ? value.map(Number) : [];
}
