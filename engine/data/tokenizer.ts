/**
 * Text to token ids and back, by Hugging Face's `tokenizers`. A hub folder's tokenizer.json is used as it is; a GGUF's vocabulary
 * and merges are put into the same form. Special tokens written in a text are recognised; none are added.
 */
import { Tokenizer as NativeTokenizer } from 'tokenizers';
import type { GgufValue } from '../formats/gguf.ts';
import type { TokenizerSource } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { fromTokenizerJson, toTokenizerJson } from './tokenizer-gguf.ts';

/** Where token i came from: `[start, end)` in UTF-16 units of the text. */
export interface EncodedText {
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
}

/** The files of a hub folder that make a tokenizer complete. */
export interface TokenizerFiles {
  'tokenizer.json': string;
  'tokenizer_config.json': string;
  'special_tokens_map.json'?: string;
  'generation_config.json'?: string;
  'chat_template.jinja'?: string;
}

export interface Tokenizer {
  encode(text: string): Promise<number[]>;
  encodeWithOffsets(text: string): Promise<EncodedText>;
  decode(ids: readonly number[], options?: { readonly skipSpecial?: boolean }): Promise<string>;
  /** One more than the largest id. */
  readonly vocabularySize: number;
  readonly bos: number | null;
  readonly eos: number | null;
  readonly bosText: string | null;
  readonly eosText: string | null;
  /** Any of these ends an answer. */
  readonly stopTokens: readonly number[];
  /** Plain text starts with `bos`; chat templates write theirs. */
  readonly addBos: boolean;
  readonly chatTemplate: string | null;
  isSpecial(id: number): boolean;
  /** Complete for transformers, also when it came from a GGUF. */
  toHubFiles(): TokenizerFiles;
  /** `tokenizer.ggml.*` and `tokenizer.chat_template`, padded with unused tokens to `vocabularySize` rows of the embedding. */
  toGgufMetadata(vocabularySize?: number): Map<string, GgufValue>;
}

/** What a tokenizer is, in the hub's words: both sources are brought to this. */
export interface TokenizerParts {
  readonly json: TokenizerJson;
  readonly bos: string | null;
  readonly eos: string | null;
  readonly unknown: string | null;
  readonly padding: string | null;
  readonly addBos: boolean;
  readonly extraStopTokens: readonly number[];
  readonly chatTemplate: string | null;
}

/** The parts of tokenizer.json that we read; the rest is carried along. */
export interface TokenizerJson {
  readonly model: {
    readonly type: string;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly [string, string])[];
    readonly byte_fallback?: boolean;
    readonly ignore_merges?: boolean;
    readonly unk_token?: string | null;
  };
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly post_processor: unknown;
  readonly decoder: unknown;
}
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** Longest time one text may take: a pattern in a foreign tokenizer.json can take for ever. */
const timeLimitMs = 20_000;

export function openTokenizer(source: TokenizerSource): Tokenizer {
  return source.kind === 'hub' ? openHub(source) : openGguf(source.metadata);
}

function openGguf(metadata: ReadonlyMap<string, GgufValue>): Tokenizer {
  const parts = toTokenizerJson(metadata);
  const text = JSON.stringify(parts.json);
  return new HuggingFaceTokenizer(parts, text, (tokenizer) => hubFilesOf(parts, text, tokenizer));
}

function openHub(source: Extract<TokenizerSource, { kind: 'hub' }>): Tokenizer {
  const json = parseTokenizerJson(source.tokenizerJson);
  const config = source.tokenizerConfig;
  const chatTemplate = source.chatTemplate ?? templateOf(config['chat_template']);
  const ids = source.generationConfig?.['eos_token_id'];
  const parts: TokenizerParts = {
    json,
    bos: tokenText(config['bos_token']),
    eos: tokenText(config['eos_token']),
    unknown: tokenText(config['unk_token']),
    padding: tokenText(config['pad_token']),
    addBos: config['add_bos_token'] === true || prependsToken(json.post_processor, tokenText(config['bos_token'])),
    extraStopTokens: (Array.isArray(ids) ? ids : [ids]).filter((id): id is number => Number.isInteger(id)),
    chatTemplate,
  };
  return new HuggingFaceTokenizer(parts, source.tokenizerJson, () => ({
    'tokenizer.json': source.tokenizerJson,
    'tokenizer_config.json': prettyJson(config),
    ...(source.generationConfig === null ? {} : { 'generation_config.json': prettyJson(source.generationConfig) }),
    ...(source.chatTemplate === null ? {} : { 'chat_template.jinja': source.chatTemplate }),
  }));
}

function parseTokenizerJson(text: string): TokenizerJson {
  let json: Partial<TokenizerJson> | null;
  try {
    json = JSON.parse(text) as Partial<TokenizerJson> | null;
  } catch (cause) {
    throw new Problem('file-damaged', 'tokenizer.json is not JSON.', 'Get the file again.', { cause });
  }
  if (typeof json?.model !== 'object' || json.model === null)
    throw new Problem('file-damaged', "tokenizer.json has no 'model'.", 'Get the file again.');
  return { ...(json as TokenizerJson), added_tokens: Array.isArray(json.added_tokens) ? json.added_tokens : [] };
}

class HuggingFaceTokenizer implements Tokenizer {
  readonly bos: number | null;
  readonly eos: number | null;
  readonly bosText: string | null;
  readonly eosText: string | null;
  readonly stopTokens: readonly number[];
  readonly addBos: boolean;
  readonly chatTemplate: string | null;
  readonly toHubFiles: () => TokenizerFiles;
  readonly #native: NativeTokenizer;
  readonly #parts: TokenizerParts;
  readonly #special: ReadonlySet<number>;

  constructor(parts: TokenizerParts, text: string, hubFiles: (tokenizer: Tokenizer) => TokenizerFiles) {
    try {
      this.#native = NativeTokenizer.fromString(text);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Problem(
        'tokenizer-unsupported',
        `The tokenizer cannot be read: ${reason}.`,
        'Use a model with a complete tokenizer.',
        {
          cause,
        },
      );
    }
    this.#native.disableTruncation();
    this.#native.disablePadding();
    this.#parts = parts;
    const added = parts.json.added_tokens;
    this.#special = new Set(added.filter((token) => token.special).map((token) => token.id));
    const id = (token: string | null) => (token === null ? null : this.#native.tokenToId(token));
    this.bos = id(parts.bos);
    this.eos = id(parts.eos);
    this.bosText = parts.bos;
    this.eosText = parts.eos;
    const named = added.filter((token) => token.special && endOfTurnNames.has(token.content)).map((token) => token.id);
    this.stopTokens = [...new Set([...(this.eos === null ? [] : [this.eos]), ...parts.extraStopTokens, ...named])];
    this.addBos = parts.addBos && this.bos !== null;
    this.chatTemplate = parts.chatTemplate;
    this.toHubFiles = () => hubFiles(this);
  }

  // Asked for by exports alone: the list of all tokens takes a quarter of what opening a tokenizer does.
  get vocabularySize(): number {
    return 1 + Object.values(this.#native.getVocab(true)).reduce((a, b) => Math.max(a, b), -1);
  }

  async encode(text: string): Promise<number[]> {
    const encoding = await limited(this.#native.encode(text, null, { addSpecialTokens: false }));
    return encoding.getIds();
  }

  async encodeWithOffsets(text: string): Promise<EncodedText> {
    const encoding = await limited(this.#native.encode(text, null, { addSpecialTokens: false }));
    const offsets = encoding.getOffsets();
    const units = unitsOfCodePoints(text);
    return {
      ids: encoding.getIds(),
      starts: offsets.map((pair) => units(pair[0]!)),
      ends: offsets.map((pair) => units(pair[1]!)),
    };
  }

  decode(ids: readonly number[], options: { readonly skipSpecial?: boolean } = {}): Promise<string> {
    return limited(this.#native.decode([...ids], options.skipSpecial ?? false));
  }

  isSpecial(id: number): boolean {
    return this.#special.has(id);
  }

  toGgufMetadata(vocabularySize = this.vocabularySize): Map<string, GgufValue> {
    return fromTokenizerJson(this.#parts, this.stopTokens, vocabularySize, (token) => this.#native.tokenToId(token));
  }
}

/** Control tokens that end a turn whatever the config calls `eos`, as llama.cpp finds them (llama-vocab.cpp, special_eot_id). */
const endOfTurnNames = new Set(['<|im_end|>', '<|eot_id|>', '<end_of_turn>', '<|end|>', '<|eot|>', '<|endofturn|>']);

/**
 * Text of a growing list of tokens, piece by piece: a character whose bytes are spread over several tokens is held back until it is
 * whole.
 */
export class TextStream {
  readonly #tokenizer: Tokenizer;
  readonly #skipSpecial: boolean;
  #tokens: number[] = [];
  /** Tokens before `#read` are already given out; those from 0 are kept so that joins between tokens decode as in the whole. */
  #read = 0;

  constructor(tokenizer: Tokenizer, skipSpecial = true) {
    this.#tokenizer = tokenizer;
    this.#skipSpecial = skipSpecial;
  }

  async push(token: number): Promise<string> {
    this.#tokens.push(token);
    return this.#advance(false);
  }

  /** What was held back, as it is. */
  flush(): Promise<string> {
    return this.#advance(true);
  }

  async #advance(all: boolean): Promise<string> {
    const options = { skipSpecial: this.#skipSpecial };
    const before = await this.#tokenizer.decode(this.#tokens.slice(0, this.#read), options);
    const now = await this.#tokenizer.decode(this.#tokens, options);
    // U+FFFD at the end: bytes of an unfinished character.
    if (!all && now.endsWith('\uFFFD') && this.#tokens.length - this.#read < 8) return '';
    const delta = now.slice(before.length);
    this.#tokens = this.#tokens.slice(this.#read);
    this.#read = this.#tokens.length;
    return delta;
  }
}

async function limited<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new Problem(
          'tokenizer-unsupported',
          `The tokenizer needed more than ${timeLimitMs / 1000} seconds for one text.`,
          'Its patterns may be damaged; use the tokenizer of the original model.',
        ),
      );
    }, timeLimitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** `tokenizers` counts code points, JavaScript UTF-16 units: the function from one to the other. */
function unitsOfCodePoints(text: string): (codePoint: number) => number {
  if (!/[\u{10000}-\u{10FFFF}]/u.test(text)) return (codePoint) => codePoint;
  const starts: number[] = [];
  let unit = 0;
  for (const character of text) {
    starts.push(unit);
    unit += character.length;
  }
  starts.push(unit);
  return (codePoint) => starts[codePoint] ?? unit;
}

function hubFilesOf(parts: TokenizerParts, text: string, tokenizer: Tokenizer): TokenizerFiles {
  const named = { bos_token: parts.bos, eos_token: parts.eos, unk_token: parts.unknown, pad_token: parts.padding };
  const special = Object.fromEntries(Object.entries(named).filter(([, token]) => token !== null));
  const generation = {
    _from_model_config: false,
    ...(tokenizer.bos === null ? {} : { bos_token_id: tokenizer.bos }),
    ...(tokenizer.stopTokens.length === 0
      ? {}
      : { eos_token_id: tokenizer.stopTokens.length === 1 ? tokenizer.stopTokens[0] : tokenizer.stopTokens }),
    ...(parts.padding === null ? {} : { pad_token_id: parts.json.model.vocab[parts.padding] }),
  };
  return {
    'tokenizer.json': text,
    // The generic class: transformers then takes tokenizer.json as it is, where a named class would build its own pre-tokenizer.
    'tokenizer_config.json': prettyJson({
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...special,
      add_bos_token: parts.addBos,
      clean_up_tokenization_spaces: false,
      ...(parts.chatTemplate === null ? {} : { chat_template: parts.chatTemplate }),
    }),
    'special_tokens_map.json': prettyJson(special),
    'generation_config.json': prettyJson(generation),
    ...(parts.chatTemplate === null ? {} : { 'chat_template.jinja': parts.chatTemplate }),
  };
}

/** tokenizer_config.json has a token as its text or as an object with `content`. */
function tokenText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : null;
}

/** One template, or a list of named ones of which `default` counts. */
function templateOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return null;
  const named = value as { name?: unknown; template?: unknown }[];
  const chosen = named.find((entry) => entry.name === 'default') ?? named[0];
  return typeof chosen?.template === 'string' ? chosen.template : null;
}

/** Whether a TemplateProcessing (alone or in a Sequence) puts `token` in front. */
function prependsToken(processor: unknown, token: string | null): boolean {
  if (token === null || typeof processor !== 'object' || processor === null) return false;
  const { type, single, processors } = processor as { type?: string; single?: unknown[]; processors?: unknown[] };
  if (type === 'Sequence') return (processors ?? []).some((inner) => prependsToken(inner, token));
  const first = single?.[0] as { SpecialToken?: { id?: string } } | undefined;
  return type === 'TemplateProcessing' && first?.SpecialToken?.id === token;
}

function prettyJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
