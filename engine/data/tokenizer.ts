/**
 * Encodes text to token ids and decodes it with Hugging Face's `tokenizers`. A hub folder's tokenizer.json is used as it is;
 * the vocabulary and merges of a GGUF are converted to the same form. Special tokens written in a text are recognized; none are
 * added.
 */
import { isDeepStrictEqual } from 'node:util';
import { Tokenizer as NativeTokenizer } from 'tokenizers';
import type { GgufValue } from '../formats/gguf.ts';
import { configTemplate, ggufTemplate, type TokenizerSource } from '../models/tokenizer-source.ts';
import { Problem } from '../problem.ts';
import { namedTokens } from './named-tokens.ts';
import { addedTokens, generationIds, specialTokens } from './special-tokens.ts';
import { tokenBytes } from './token-bytes.ts';
import { fromTokenizerJson, toTokenizerJson } from './tokenizer-gguf.ts';
import type { AddedToken, TokenIds, TokenizerJson, TokenizerParts } from './tokenizer-parts.ts';
import { WorkTime } from './work-time.ts';

/** Holds token ids and the place that each token came from: `[start, end)` in UTF-16 units of the text. */
export interface EncodedText {
  readonly ids: number[];
  readonly starts: number[];
  readonly ends: number[];
}

/** Holds the files of a hub folder that make a tokenizer complete. */
export interface TokenizerFiles {
  'tokenizer.json': string;
  'tokenizer_config.json': string;
  'special_tokens_map.json'?: string;
  'added_tokens.json'?: string;
  'generation_config.json'?: string;
  'chat_template.jinja'?: string;
}

export interface Tokenizer extends TokenIds {
  encode(text: string): Promise<number[]>;
  encodeWithOffsets(text: string): Promise<EncodedText>;
  decode(ids: readonly number[], options?: { readonly skipSpecial?: boolean }): Promise<string>;
  /** Is one more than the largest id. */
  readonly vocabularySize: number;
  /** Holds the text as chat templates write it. */
  readonly bosText: string | null;
  readonly eosText: string | null;
  readonly chatTemplate: string | null;
  /** Maps ids to the texts of the tokens that are matched whole before a text is split. */
  readonly addedTokens: ReadonlyMap<number, string>;
  isSpecial(id: number): boolean;
  /**
   * Returns the bytes that each token of the vocabulary writes, one character for each byte. Added tokens are not among them. A
   * tokenizer whose tokens do not have bytes of their own is refused.
   */
  tokenBytes(): Map<number, string>;
  /** Returns files that are complete for transformers, even when the tokenizer came from a GGUF. */
  toHubFiles(): TokenizerFiles;
  /**
   * Returns `tokenizer.ggml.*` and `tokenizer.chat_template`, padded with unused tokens to `vocabularySize` rows of the
   * embedding, and `general.name`: `modelName`, or the nearest name for which llama.cpp treats the tokens correctly.
   */
  toGgufMetadata(vocabularySize?: number, modelName?: string): Map<string, GgufValue>;
}

/**
 * Limits the processor time that texts encoded at the same time may take, and grows for more than a million characters. A
 * pattern in a foreign tokenizer.json can run for ever; usual tokenizers take two seconds for a million characters.
 */
const leastTimeMs = 20_000;
const timePerMillionMs = 20_000;
/**
 * Limits the memory that texts encoded at the same time may take, in bytes. Some hundred bytes for each byte of text are usual.
 */
const memoryLimit = 4 * 2 ** 30;
const millisecondsBetweenLooks = 100;

export function openTokenizer(source: TokenizerSource): Tokenizer {
  return source.kind === 'hub' ? openHub(source) : openGguf(source.metadata);
}

/** Opens the tokenizer of a model; returns null when the model has none, which is enough for rows of token ids. */
export function tokenizerOf({ tokenizerSource }: { readonly tokenizerSource: TokenizerSource | null }): Tokenizer | null {
  return tokenizerSource && openTokenizer(tokenizerSource);
}

function openGguf(metadata: ReadonlyMap<string, GgufValue>): Tokenizer {
  const parts = toTokenizerJson(metadata);
  const text = JSON.stringify(parts.json);
  return new HuggingFaceTokenizer(parts, text, (tokenizer) => hubFilesOf(parts, text, tokenizer));
}

/** Returns what a hub's files say, with the added tokens of all of them. */
function hubParts(source: Extract<TokenizerSource, { kind: 'hub' }>): TokenizerParts & { readonly text: string } {
  const file = parseTokenizerJson(source.tokenizerJson);
  const json = { ...file, added_tokens: addedTokens(source, file) };
  return {
    text: sameTokens(file.added_tokens, json.added_tokens) ? source.tokenizerJson : JSON.stringify(json),
    json,
    ...specialTokens(source, json),
    generation: {
      ends: generationIds(source, 'eos_token_id'),
      bos: generationIds(source, 'bos_token_id')[0] ?? null,
      padding: generationIds(source, 'pad_token_id')[0] ?? null,
    },
    chatTemplate: chatTemplateOf(source),
  };
}

function openHub(source: Extract<TokenizerSource, { kind: 'hub' }>): Tokenizer {
  const { tokenizerConfig, generationConfig, chatTemplate, specialTokensMap = null, addedTokens: added = null } = source;
  const { text, ...parts } = hubParts(source);
  return new HuggingFaceTokenizer(parts, text, ({ stopTokens }) => ({
    'tokenizer.json': text,
    'tokenizer_config.json': prettyJson(withoutCode(tokenizerConfig)),
    ...(specialTokensMap === null ? {} : { 'special_tokens_map.json': prettyJson(specialTokensMap) }),
    ...(added === null ? {} : { 'added_tokens.json': prettyJson(added) }),
    ...(generationConfig === null ? {} : { 'generation_config.json': prettyJson(withStops(generationConfig, stopTokens)) }),
    ...(chatTemplate === null ? {} : { 'chat_template.jinja': chatTemplate }),
  }));
}

/** Returns whether the same tokens are added with the same flags. */
function sameTokens(a: readonly AddedToken[], b: readonly AddedToken[]): boolean {
  const flags = ['content', 'single_word', 'lstrip', 'rstrip', 'normalized', 'special'] as const;
  return a.length === b.length && a.every((token, i) => flags.every((flag) => token[flag] === b[i]![flag]));
}

/**
 * Returns a tokenizer config without references to code that is not copied. tokenizer.json describes the tokenizer completely.
 */
function withoutCode({ auto_map: map, ...config }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return map === undefined ? config : { ...config, tokenizer_class: 'PreTrainedTokenizerFast' };
}

/**
 * Returns a generation config with this tokenizer's stop tokens, because that of another tokenizer may not end where this one
 * does.
 */
function withStops(
  config: Readonly<Record<string, unknown>>,
  stopTokens: readonly number[],
): Readonly<Record<string, unknown>> {
  const ends: unknown[] = [config['eos_token_id']].flat();
  return stopTokens.every((id) => ends.includes(id)) ? config : { ...config, eos_token_id: stopTokens };
}

// ── Sources compared, without opening them ──────────────────────────────────────────────────────────────────────────────

export function chatTemplateOf(source: TokenizerSource): string | null {
  if (source.kind === 'hub') return source.chatTemplate ?? configTemplate(source.tokenizerConfig['chat_template']);
  return ggufTemplate(source.metadata);
}

export function withChatTemplate(source: TokenizerSource, template: string): TokenizerSource {
  if (source.kind === 'hub') {
    const { chat_template: before, ...config } = source.tokenizerConfig;
    const tokenizerConfig = before === undefined ? config : { ...config, chat_template: template };
    return { ...source, tokenizerConfig, chatTemplate: template };
  }
  const metadata = new Map(source.metadata);
  return { ...source, metadata: metadata.set('tokenizer.chat_template', { type: 'string', value: template }) };
}

/** Returns one more than the largest id of a hub's tokenizer. */
export function tokensOf(source: Extract<TokenizerSource, { kind: 'hub' }>): number {
  return 1 + [...idsOf(hubParts(source)).values()].reduce((a, b) => Math.max(a, b), -1);
}

function idsOf({ json }: TokenizerParts): Map<string, number> {
  const added = json.added_tokens.map(({ content, id }) => [content, id] as const);
  return new Map([...Object.entries(json.model.vocab), ...added]);
}

/**
 * Returns whether two tokenizers encode texts to the same ids and end answers alike. Padding and truncation do not count. A
 * GGUF says less than a hub folder, and has names for rows that no token uses.
 */
export function sameTokenizer(own: TokenizerSource, other: Extract<TokenizerSource, { kind: 'hub' }>): boolean {
  const [a, b] = [own.kind === 'hub' ? hubParts(own) : toTokenizerJson(own.metadata), hubParts(other)];
  if (a.eos !== b.eos || a.json.model.type !== b.json.model.type) return false;
  const [ids, otherIds] = [idsOf(a), idsOf(b)];
  for (const [token, id] of otherIds) if (ids.get(token) !== id) return false;
  const merges = ({ json }: TokenizerParts) => (json.model.merges ?? []).map((pair) => [pair].flat().join(' '));
  if (!isDeepStrictEqual(merges(a), merges(b))) return false;
  if (own.kind === 'gguf') return true;
  const rules = ({ json, bos, addBos, around }: TokenizerParts) => {
    const { normalizer, pre_tokenizer, decoder, added_tokens } = json;
    return { normalizer, pre_tokenizer, decoder, added_tokens, bos, addBos, around };
  };
  return ids.size === otherIds.size && isDeepStrictEqual(rules(a), rules(b));
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
  const { vocab } = json.model as { readonly vocab?: unknown };
  if (typeof vocab !== 'object' || vocab === null)
    throw new Problem('file-damaged', "tokenizer.json has no 'model.vocab'.", 'Get the file again.');
  refusePrefix(json.model);
  const added: readonly (AddedToken | null)[] = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const whole = added.filter((token) => typeof token?.content === 'string') as AddedToken[];
  return { ...(json as TokenizerJson), added_tokens: whole };
}

/**
 * Refuses a prefix that the native tokenizer would cut off the second part of every merge unchecked, ending the process where
 * the prefix is longer than that part.
 */
function refusePrefix(model: TokenizerJson['model']): void {
  const prefix = model.continuing_subword_prefix;
  if (typeof prefix !== 'string' || prefix === '' || !Array.isArray(model.merges)) return;
  for (const merge of model.merges as readonly unknown[]) {
    const second: unknown = Array.isArray(merge) ? merge[1] : String(merge).split(' ')[1];
    if (typeof second === 'string' && !second.startsWith(prefix))
      throw new Problem(
        'file-damaged',
        `tokenizer.json has a merge with '${second}', which does not begin with its 'continuing_subword_prefix' '${prefix}'.`,
        'Get the file again.',
      );
  }
}

class HuggingFaceTokenizer implements Tokenizer {
  readonly bos: number | null;
  readonly eos: number | null;
  readonly unknown: number | null;
  readonly padding: number | null;
  readonly bosText: string | null;
  readonly eosText: string | null;
  readonly stopTokens: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly chatTemplate: string | null;
  readonly addedTokens: ReadonlyMap<number, string>;
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
    // An added token of tokenizer.json is ignored where the vocabulary has its text under another id.
    const added = parts.json.added_tokens.flatMap((token) => {
      const id = this.#native.tokenToId(token.content);
      return id === null ? [] : [{ ...token, id }];
    });
    this.addedTokens = new Map(added.map((token) => [token.id, token.content]));
    this.#special = new Set(added.filter((token) => token.special).map((token) => token.id));
    const id = (token: string | null) => (token === null ? null : this.#native.tokenToId(token));
    const known = (ids: readonly (number | null)[]) =>
      ids.filter((each): each is number => each !== null && this.#native.idToToken(each) !== null);
    const ends = known(parts.generation.ends);
    const { around } = parts;
    // Where the files name no `bos`, it is the token that the post-processor puts there.
    this.bos = id(parts.bos) ?? (around?.before.length === 1 ? (known(around.before)[0] ?? null) : null);
    this.eos = id(parts.eos) ?? ends[0] ?? null;
    this.unknown = id(parts.unknown);
    this.padding = id(parts.padding) ?? known([parts.generation.padding])[0] ?? null;
    this.bosText = parts.bos;
    this.eosText = parts.eos;
    this.stopTokens = [...new Set([...known([this.eos]), ...ends, ...namedTokens(id).ends])];
    this.addBos = this.bos !== null && (around === null ? parts.addBos : around.before[0] === this.bos);
    this.addEos = this.eos !== null && (around === null ? parts.addEos : around.after.at(-1) === this.eos);
    this.before = around?.before ?? (this.addBos ? known([this.bos]) : []);
    this.after = around?.after ?? (this.addEos ? known([this.eos]) : []);
    this.chatTemplate = parts.chatTemplate;
    this.toHubFiles = () => hubFiles(this);
  }

  // Only exports need this. Listing all tokens takes a quarter of the time of opening a tokenizer.
  get vocabularySize(): number {
    return 1 + Object.values(this.#native.getVocab(true)).reduce((a, b) => Math.max(a, b), -1);
  }

  async encode(text: string): Promise<number[]> {
    const encoding = await limited(this.#native.encode(text, null, { addSpecialTokens: false }), text.length);
    return encoding.getIds();
  }

  async encodeWithOffsets(text: string): Promise<EncodedText> {
    const encoding = await limited(this.#native.encode(text, null, { addSpecialTokens: false }), text.length);
    const offsets = encoding.getOffsets();
    const units = unitsOfCodePoints(text);
    return {
      ids: encoding.getIds(),
      starts: offsets.map((pair) => units(pair[0]!)),
      ends: offsets.map((pair) => units(pair[1]!)),
    };
  }

  decode(ids: readonly number[], options: { readonly skipSpecial?: boolean } = {}): Promise<string> {
    return limited(this.#native.decode([...ids], options.skipSpecial ?? false), ids.length);
  }

  isSpecial(id: number): boolean {
    return this.#special.has(id);
  }

  tokenBytes(): Map<number, string> {
    const vocabulary = Object.entries(this.#native.getVocab(true));
    return tokenBytes(
      this.#parts.json,
      vocabulary.filter(([, id]) => !this.addedTokens.has(id)),
    );
  }

  toGgufMetadata(vocabularySize = this.vocabularySize, modelName = ''): Map<string, GgufValue> {
    return fromTokenizerJson(this.#parts, this, vocabularySize, modelName, (token) => this.#native.tokenToId(token));
  }
}

/**
 * Decodes a growing list of tokens piece by piece. A character whose bytes are spread over several tokens is held back until it
 * is complete.
 */
export class TextStream {
  readonly #tokenizer: Pick<Tokenizer, 'decode'>;
  readonly #skipSpecial: boolean;
  #tokens: number[] = [];
  /**
   * Counts the tokens that have been returned already. Tokens are kept from 0 on, so that joins between them decode as in the
   * whole text.
   */
  #read = 0;

  constructor(tokenizer: Pick<Tokenizer, 'decode'>, skipSpecial = true) {
    this.#tokenizer = tokenizer;
    this.#skipSpecial = skipSpecial;
  }

  async push(token: number): Promise<string> {
    this.#tokens.push(token);
    return this.#advance(false);
  }

  /** Returns what was held back, as it is. */
  flush(): Promise<string> {
    return this.#advance(true);
  }

  async #advance(all: boolean): Promise<string> {
    const options = { skipSpecial: this.#skipSpecial };
    const before = await this.#tokenizer.decode(this.#tokens.slice(0, this.#read), options);
    const now = await this.#tokenizer.decode(this.#tokens, options);
    // U+FFFD at the end stands for the bytes of an unfinished character.
    if (!all && now.endsWith('\uFFFD') && this.#tokens.length - this.#read < 8) return '';
    const delta = now.slice(before.length);
    this.#tokens = this.#tokens.slice(this.#read);
    this.#read = this.#tokens.length;
    return delta;
  }
}

/**
 * Counts the texts being encoded and their characters, and holds the memory and time of the process since the first of them.
 */
const reading = { texts: 0, characters: 0, memoryBefore: 0, time: new WorkTime() };

/**
 * Limits the time and memory of encoding. A native thread cannot be stopped and continues past its limits, so the caller should
 * give up and the process end.
 */
async function limited<T>(work: Promise<T>, characters: number): Promise<T> {
  if (reading.texts++ === 0)
    Object.assign(reading, { characters: 0, memoryBefore: process.memoryUsage.rss(), time: new WorkTime() });
  reading.characters += characters;
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      if (process.memoryUsage.rss() - reading.memoryBefore > memoryLimit) reject(tooLarge());
      reading.time.look();
      const allowed = Math.max(leastTimeMs, (timePerMillionMs * reading.characters) / 1e6);
      if (reading.time.spent > allowed) reject(tooSlow(allowed));
    }, millisecondsBetweenLooks);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearInterval(timer);
    reading.texts -= 1;
  }
}

function tooSlow(milliseconds: number): Problem {
  return new Problem(
    'tokenizer-unsupported',
    `The tokenizer needed more than ${Math.round(milliseconds / 1000)} seconds of the processor for one text.`,
    'Its patterns may be damaged: use the tokenizer of the original model. Or split a text of millions of characters.',
  );
}

function tooLarge(): Problem {
  return new Problem(
    'out-of-memory',
    `The tokenizer took more than ${memoryLimit / 2 ** 30} GB of memory for a text.`,
    'A rule of it may make the text longer without end: use the tokenizer of the original model.',
  );
}

/** Returns a function from code points, which `tokenizers` counts, to UTF-16 units, which JavaScript counts. */
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
  // An ordinary piece named here would become a special token wherever it occurs. Generation knows it by its id.
  const added = new Set(tokenizer.addedTokens.values());
  const special = Object.fromEntries(Object.entries(named).filter(([, token]) => token !== null && added.has(token)));
  const generation = {
    _from_model_config: false,
    ...(tokenizer.bos === null ? {} : { bos_token_id: tokenizer.bos }),
    ...(tokenizer.stopTokens.length === 0
      ? {}
      : { eos_token_id: tokenizer.stopTokens.length === 1 ? tokenizer.stopTokens[0] : tokenizer.stopTokens }),
    ...(tokenizer.padding === null ? {} : { pad_token_id: tokenizer.padding }),
  };
  return {
    'tokenizer.json': text,
    // With the generic class transformers uses tokenizer.json as it is; a named class would build its own pre-tokenizer.
    'tokenizer_config.json': prettyJson({
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...special,
      add_bos_token: parts.addBos,
      add_eos_token: parts.addEos,
      clean_up_tokenization_spaces: false,
      ...(parts.chatTemplate === null ? {} : { chat_template: parts.chatTemplate }),
    }),
    'special_tokens_map.json': prettyJson(special),
    'generation_config.json': prettyJson(generation),
    ...(parts.chatTemplate === null ? {} : { 'chat_template.jinja': parts.chatTemplate }),
  };
}

function prettyJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
