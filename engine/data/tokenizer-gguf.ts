/**
 * Converts the `tokenizer.ggml.*` metadata of a GGUF to the form of tokenizer.json and back. `tokenizer.ggml.model` and
 * `tokenizer.ggml.pre` together decide the tokenizer; an unknown pair is refused by name, never guessed.
 */
import type { GgufValue } from '../formats/gguf.ts';
import { ggufTemplate } from '../models/tokenizer-source.ts';
import { Problem } from '../problem.ts';
import { byteLevelRule, nfc, type PreTokenizer, preTokenizers, type SplitRule } from './gguf-pre-tokenizers.ts';
import { namedTokens } from './named-tokens.ts';
import type { AddedToken, TokenIds, TokenizerJson, TokenizerParts } from './tokenizer-parts.ts';

/** Holds the values of `tokenizer.ggml.token_type` (llama.h). */
const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** SentencePiece writes this character instead of a space. */
const lowerLine = '\u2581';

/** Returns the tokenizer of a GGUF in the hub's form. */
export function toTokenizerJson(metadata: ReadonlyMap<string, GgufValue>): TokenizerParts {
  const field = (name: string) => metadata.get(`tokenizer.ggml.${name}`)?.value;
  const model = field('model');
  if (model === undefined || model === 'none')
    throw new Problem('tokenizer-missing', 'The GGUF file has no tokenizer.', 'Use token ids, or a file with its vocabulary.');
  if (model !== 'gpt2' && model !== 'llama')
    throw new Problem(
      'tokenizer-unsupported',
      `The GGUF file has a tokenizer of the kind '${String(model)}', which is not supported yet.`,
      'Use the model as a hub folder with its tokenizer.json.',
    );
  const tokens = strings(field('tokens'), 'tokenizer.ggml.tokens');
  const types = numbers(field('token_type'));
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  const ids = new Map(tokens.map((content, id) => [content, id]));
  const idAt = (name: string): number | null => {
    const id = field(name);
    return id !== undefined && Number(id) < tokens.length ? Number(id) : null;
  };
  const idOf = (content: string): number | null => ids.get(content) ?? null;
  const named = namedTokens(idOf, idAt);
  const overruled = new Map([
    ...named.control.map((id) => [id, tokenType.control] as const),
    ...named.shown.map((id) => [id, tokenType.userDefined] as const),
    ...named.normal.map((id) => [id, tokenType.normal] as const),
  ]);
  const modelName = metadata.get('general.name')?.value;
  const strips = stripRule(typeof modelName === 'string' ? modelName : '', (content) => ids.has(content));
  const typeOf = (id: number): number => overruled.get(id) ?? types[id] ?? tokenType.normal;
  tokens.forEach((content, id) => {
    if (typeOf(id) !== tokenType.unused) vocab[content] = id;
  });
  const rule = model === 'gpt2' ? byteLevelRule(field('pre')) : sentencePieceRule(field('add_space_prefix') !== false);
  const merges =
    model === 'gpt2'
      ? strings(field('merges'), 'tokenizer.ggml.merges')
          .map(splitMerge)
          // Some converters write merges whose tokens were removed from the vocabulary. They can never apply.
          .filter(([left, right]) => left in vocab && right in vocab && left + right in vocab)
      : mergesByScore(tokens, types, numbers(field('scores')), vocab);
  const roleId = (name: string, role: keyof DefaultIds): number | null => {
    const byDefault = defaultIds[model][role];
    return idAt(name) ?? (byDefault !== null && byDefault < tokens.length ? byDefault : null);
  };
  const tokenAt = (id: number | null): string | null => (id === null ? null : tokens[id]!);
  const bos = tokenAt(roleId('bos_token_id', 'bos'));
  const eosId = roleId('eos_token_id', 'eos');
  const eos = tokenAt(eosId);
  const unknown = tokenAt(roleId('unknown_token_id', 'unknown'));
  const addBosField = field('add_bos_token');
  const addBos = (addBosField === undefined ? rule.addBos : addBosField === true) && bos !== null && bos in vocab;
  const addEos = field('add_eos_token') === true && eos !== null && eos in vocab;
  const chatTemplate = ggufTemplate(metadata);
  const made = new Set(merges.map((pair) => pair.join('')));
  const roles = new Set(['bos', 'eos', 'eot', 'eom'].map((name) => idAt(`${name}_token_id`)));
  /**
   * Returns the actual kind of a plain token. Some converters do not mark added tokens, but no merge ever produces one of them.
   */
  const forgotten = (content: string, id: number): number => {
    if (overruled.has(id) || made.has(content) || !/^(<.+>|\[.+\])$/u.test(content)) return tokenType.normal;
    if (roles.has(id)) return tokenType.control;
    return chatTemplate?.includes(content) ? tokenType.userDefined : tokenType.normal;
  };
  const added: AddedToken[] = [];
  tokens.forEach((content, id) => {
    const type = typeOf(id) === tokenType.normal ? forgotten(content, id) : typeOf(id);
    if (type === tokenType.control || type === tokenType.userDefined || type === tokenType.unknown) {
      const flags = { single_word: false, normalized: false, lstrip: false, rstrip: false, ...strips?.(content) };
      added.push({ id, content, ...flags, special: type !== tokenType.userDefined });
    }
  });
  const json: TokenizerJson & Record<string, unknown> = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: rule.normalizer,
    pre_tokenizer: rule.preTokenizer,
    post_processor: aroundProcessor(addBos ? bos : null, addEos ? eos : null, vocab),
    decoder: rule.decoder,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: model === 'llama' && unknown !== null && unknown in vocab ? unknown : null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: model === 'llama',
      byte_fallback: model === 'llama',
      ignore_merges: rule.ignoreMerges,
      vocab,
      merges,
    },
  } as TokenizerJson & Record<string, unknown>;
  return {
    json,
    bos,
    eos,
    unknown,
    padding: tokenAt(idAt('padding_token_id')),
    addBos,
    addEos,
    around: null,
    generation: {
      ends: [eosId, idAt('eot_token_id'), idAt('eom_token_id'), ...named.ends].filter((id) => id !== null),
      bos: null,
      padding: null,
    },
    chatTemplate,
  };
}

/** Holds the ids that llama.cpp uses where the file names none (llama-vocab.cpp). */
type DefaultIds = Readonly<Record<'bos' | 'eos' | 'unknown', number | null>>;
const defaultIds: Readonly<Record<'gpt2' | 'llama', DefaultIds>> = {
  gpt2: { bos: 11, eos: 11, unknown: null },
  llama: { bos: 1, eos: 2, unknown: 0 },
};

/** Returns which white space beside a token belongs to it. */
type StripRule = (content: string) => { readonly lstrip: boolean; readonly rstrip: boolean };

/**
 * Returns the strip flags that llama.cpp would use. A GGUF has no field for them: llama.cpp derives them from the name of the
 * model (`general.name`) and then requires certain tokens. Returns null where it could not load a model of that name with this
 * vocabulary.
 */
function stripRule(modelName: string, has: (content: string) => boolean): StripRule | null {
  const plain = ['<unk>', '<s>', '<|endoftext|>'];
  if (/phi-?3/i.test(modelName))
    return [...plain, '</s>'].every(has) ? (content) => ({ lstrip: false, rstrip: !plain.includes(content) }) : null;
  if (/modern-bert/i.test(modelName)) return (content) => ({ lstrip: content === '[MASK]', rstrip: false });
  return () => ({ lstrip: false, rstrip: false });
}

/**
 * Returns a name under which llama.cpp matches the added tokens as tokenizer.json says. Refuses flags that no name produces.
 */
function nameForFlags(
  modelName: string,
  { added_tokens: added, normalizer }: TokenizerJson,
  has: (content: string) => boolean,
): string {
  const refuse = (token: AddedToken, flag: string, meaning: string): Problem =>
    new Problem(
      'tokenizer-unsupported',
      `The token '${token.content}' ${meaning} ('${flag}' in tokenizer.json), which llama.cpp cannot do for this tokenizer.`,
      'Export as safetensors or ONNX, where tokenizer.json says it.',
    );
  const prepends = canonical(normalizer).includes('"Prepend"');
  const spaced = canonical(normalizer).includes('"Replace"');
  for (const token of added) {
    if (token.single_word) throw refuse(token, 'single_word', 'counts only as a whole word');
    if (token.normalized && prepends) throw refuse(token, 'normalized', 'counts only after white space');
    if (token.normalized && spaced && token.content.includes(lowerLine) && !isWhiteSpace(token.content))
      throw refuse(token, 'normalized', 'has white space in it');
  }
  const plainName = modelName.replace(/phi-?3/gi, 'Phi 3').replace(/modern-bert/gi, 'ModernBERT');
  const odd = (name: string): AddedToken | undefined => {
    const rule = stripRule(name, has);
    return added.find((token) => {
      const flags = rule?.(token.content);
      return flags?.lstrip !== token.lstrip || flags.rstrip !== token.rstrip;
    });
  };
  const name = [modelName, plainName, `${modelName} (Phi-3)`.trim()].find(
    (each) => stripRule(each, has) !== null && odd(each) === undefined,
  );
  if (name !== undefined) return name;
  const token = odd(plainName)!;
  throw refuse(token, token.lstrip ? 'lstrip' : 'rstrip', `takes white space ${token.lstrip ? 'before' : 'after'} it`);
}

/** Returns SentencePiece's BPE as transformers' converter writes it (convert_slow_tokenizer.py, LlamaConverter). */
function sentencePieceRule(spacePrefix: boolean): SplitRule {
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: lowerLine };
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  const decoders = [
    { type: 'Replace', pattern: { String: lowerLine }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    ...(spacePrefix ? [strip] : []),
  ];
  return {
    preTokenizer: null,
    normalizer: { type: 'Sequence', normalizers: [...(spacePrefix ? [{ type: 'Prepend', prepend: lowerLine }] : []), replace] },
    decoder: { type: 'Sequence', decoders },
    ignoreMerges: false,
    addBos: true,
  };
}

/**
 * Returns the merges of a SentencePiece vocabulary: every way to cut a piece in two, the best pieces first. SentencePiece joins
 * the pair whose whole has the best score.
 */
function mergesByScore(
  tokens: readonly string[],
  types: readonly number[],
  scores: readonly number[],
  vocab: Readonly<Record<string, number>>,
): [string, string][] {
  const found: { pair: [string, string]; score: number; left: number; right: number }[] = [];
  tokens.forEach((piece, id) => {
    if ((types[id] ?? tokenType.normal) !== tokenType.normal) return;
    const characters = Array.from(piece);
    for (let cut = 1; cut < characters.length; cut++) {
      const pair: [string, string] = [characters.slice(0, cut).join(''), characters.slice(cut).join('')];
      const [left, right] = [vocab[pair[0]], vocab[pair[1]]];
      if (left !== undefined && right !== undefined) found.push({ pair, score: scores[id] ?? 0, left, right });
    }
  });
  return found.sort((a, b) => b.score - a.score || a.left - b.left || a.right - b.right).map(({ pair }) => pair);
}

/** Returns metadata for a GGUF writer. Refuses what llama.cpp would tokenize differently. */
export function fromTokenizerJson(
  parts: TokenizerParts,
  tokenizer: TokenIds,
  vocabularySize: number,
  modelName: string,
  idOf: (token: string) => number | null,
): Map<string, GgufValue> {
  const { json } = parts;
  const kind = json.model.type === 'BPE' ? recognise(json) : null;
  if (kind === null)
    throw new Problem(
      'tokenizer-unsupported',
      `This tokenizer (${json.model.type}) cannot be written to GGUF: how it splits text has no known name there.`,
      `Export as safetensors, or use a model whose tokenizer is one of ${Object.keys(preTokenizers).join(', ')}.`,
    );
  if (tokenizer.before.length !== Number(tokenizer.addBos) || tokenizer.after.length !== Number(tokenizer.addEos))
    throw new Problem(
      'tokenizer-unsupported',
      `This tokenizer puts the tokens [${tokenizer.before.join(', ')}] before a text and [${tokenizer.after.join(', ')}] after it; a GGUF can name one for the beginning and one for the end of a text alone.`,
      'Export as safetensors or ONNX.',
    );
  const name = nameForFlags(modelName, json, (content) => idOf(content) !== null);
  const tokens = Array.from({ length: vocabularySize }, () => '');
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
  for (const { content, id, special } of json.added_tokens) {
    // llama.cpp would display this token as written instead of as white space, and the merges produce it anyway.
    const whiteSpace = kind.model === 'llama' && isWhiteSpace(content) && Object.hasOwn(json.model.vocab, content);
    if (special || !whiteSpace) put(content, idOf(content) ?? id, special ? tokenType.control : tokenType.userDefined);
  }
  // llama.cpp refuses a vocabulary with the same text twice.
  for (const [id, type] of types.entries()) {
    if (type !== tokenType.unused) continue;
    tokens[id] = `[PAD${id}]`;
    while (idOf(tokens[id]) !== null) tokens[id] += '_';
  }

  const values = new Map<string, GgufValue>();
  const set = (name: string, value: GgufValue) => values.set(`tokenizer.ggml.${name}`, value);
  const merges = json.model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  set('model', { type: 'string', value: kind.model });
  set('pre', { type: 'string', value: kind.pre });
  set('tokens', { type: 'array', of: 'string', value: tokens });
  if (kind.model === 'llama') {
    set('scores', { type: 'array', of: 'float32', value: scoresOf(tokens, json) });
    set('add_space_prefix', { type: 'bool', value: kind.spacePrefix });
    tokens.forEach((token, id) => {
      if (/^<0x[0-9A-F]{2}>$/.test(token)) types[id] = tokenType.byte;
      else if (token === json.model.unk_token || id === tokenizer.unknown) types[id] = tokenType.unknown;
    });
  } else {
    set('merges', { type: 'array', of: 'string', value: merges });
    set('add_space_prefix', { type: 'bool', value: false });
  }
  set('token_type', { type: 'array', of: 'int32', value: types });
  const setId = (key: string, id: number | null | undefined): void => {
    if (id != null && id < vocabularySize) set(`${key}_token_id`, { type: 'uint32', value: id });
  };
  const eos = tokenizer.eos ?? tokenizer.stopTokens[0] ?? harmlessEnd(types, tokenizer);
  setId('eos', eos);
  // Without these fields, both would be some ordinary piece of text.
  setId('bos', tokenizer.bos ?? parts.generation.bos ?? eos);
  setId('unknown', tokenizer.unknown);
  setId('padding', tokenizer.padding);
  const byName = namedTokens(idOf).ends;
  const further = tokenizer.stopTokens.filter((id) => id !== eos && !byName.includes(id));
  const [endOfTurn, endOfMessage, ...rest] = further;
  if (rest.length > 0)
    throw new Problem(
      'tokenizer-unsupported',
      `An answer of this model ends at any of ${tokenizer.stopTokens.length} tokens; a GGUF names three, and llama.cpp does not know the others.`,
      'Export as safetensors or ONNX, or take ends out of generation_config.json.',
    );
  setId('eot', endOfTurn ?? tokenizer.stopTokens.find((id) => id !== eos));
  setId('eom', endOfMessage);
  set('add_bos_token', { type: 'bool', value: tokenizer.addBos });
  set('add_eos_token', { type: 'bool', value: tokenizer.addEos });
  if (name !== '') values.set('general.name', { type: 'string', value: name });
  if (parts.chatTemplate !== null) values.set('tokenizer.chat_template', { type: 'string', value: parts.chatTemplate });
  return values;
}

function isWhiteSpace(piece: string): boolean {
  return /^\u2581+$/.test(piece);
}

/**
 * Returns a token that occurs in no answer, for a model whose answers have no end token. llama.cpp uses an ordinary token where
 * none is named.
 */
function harmlessEnd(
  types: readonly number[],
  { padding, unknown, bos }: Pick<TokenIds, 'padding' | 'unknown' | 'bos'>,
): number {
  const at = [types.indexOf(tokenType.unused), padding, unknown, bos, types.indexOf(tokenType.control)];
  const found = at.find((id) => id !== null && id >= 0);
  if (found != null) return found;
  throw new Problem(
    'tokenizer-unsupported',
    'The tokenizer names no end token, and llama.cpp would then stop at an ordinary one.',
    'Name one as eos_token in tokenizer_config.json.',
  );
}

type Kind =
  | { readonly model: 'gpt2'; readonly pre: string }
  | { readonly model: 'llama'; readonly pre: 'default'; readonly spacePrefix: boolean };

/** Returns GGUF's name for the way this tokenizer.json splits text, or null. */
function recognise(json: TokenizerJson): Kind | null {
  if (json.model.byte_fallback === true) {
    const spacePrefix = sentencePiecePrefix(json);
    return spacePrefix === null ? null : { model: 'llama', pre: 'default', spacePrefix };
  }
  const same = (a: unknown, b: unknown) => canonical(a) === canonical(b);
  const splitsAlike = Object.entries(preTokenizers).filter(([, rule]) => same(rule.preTokenizer, json.pre_tokenizer));
  // llama.cpp has no normalizer. One that only composes characters leaves text that is already composed unchanged.
  const normalizes = same(json.normalizer, null) || same(json.normalizer, nfc);
  const fits = ([, rule]: [string, PreTokenizer]) => rule.ignoreMerges === (json.model.ignore_merges ?? false);
  const candidates = splitsAlike.filter(fits);
  const exact = candidates.find(([, rule]) => same(rule.normalizer, json.normalizer));
  const found = exact ?? (normalizes ? candidates[0] : undefined);
  return found === undefined ? null : { model: 'gpt2', pre: found[0] };
}

/**
 * Returns whether SentencePiece's text begins with a space, in each of the forms in which transformers has written it, or null
 * where the rule is different. llama.cpp cannot put a space only before the very first text and not after a special token; that
 * case counts as no space, because a conversation begins with a special token.
 */
function sentencePiecePrefix({ normalizer, pre_tokenizer: preTokenizer }: TokenizerJson): boolean | null {
  const isNothing = (value: unknown) => canonical(value) === 'null';
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: lowerLine };
  // Where the normalizer leaves no space there is nothing to split at.
  const splitAtSpace = { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious' };
  const noSplit = isNothing(preTokenizer) || canonical(preTokenizer) === canonical(splitAtSpace);
  if (noSplit && canonical(normalizer) === canonical(replace)) return false;
  if (noSplit && canonical(normalizer) === canonical(sentencePieceRule(false).normalizer)) return false;
  if (noSplit && canonical(normalizer) === canonical(sentencePieceRule(true).normalizer)) return true;
  const { type, replacement, prepend_scheme: scheme, split } = (preTokenizer ?? {}) as Record<string, unknown>;
  if (type !== 'Metaspace' || replacement !== lowerLine || split !== false || !isNothing(normalizer)) return null;
  return scheme === 'always' ? true : scheme === 'first' || scheme === 'never' ? false : null;
}

/** Returns the scores of pieces: minus the rank of the first merge that makes a piece. Pieces that no merge makes come last. */
function scoresOf(tokens: readonly string[], { model }: TokenizerJson): number[] {
  const rank = new Map<string, number>();
  for (const merge of model.merges) {
    const piece = typeof merge === 'string' ? splitMerge(merge).join('') : merge.join('');
    if (!rank.has(piece)) rank.set(piece, rank.size);
  }
  return tokens.map((token) => -(rank.get(token) ?? rank.size));
}

/**
 * Returns a value as text for comparison, without fields that change only offsets and without defaults that may be left out.
 */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (key, inner: unknown) => {
    if (key === 'trim_offsets' || (key === 'invert' && inner === false)) return undefined;
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    const object = inner as Record<string, unknown>;
    const complete = object['type'] === 'ByteLevel' && !('use_regex' in object) ? { ...object, use_regex: true } : object;
    return Object.fromEntries(Object.entries(complete).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Returns the post-processor that puts these tokens before and after every text, or null where there are none. */
function aroundProcessor(before: string | null, after: string | null, vocab: Readonly<Record<string, number>>): unknown {
  const tokens = [before, after].filter((token) => token !== null);
  if (tokens.length === 0) return null;
  const special = (token: string | null) => (token === null ? [] : [{ SpecialToken: { id: token, type_id: 0 } }]);
  const text = (name: string, type: number) => ({ Sequence: { id: name, type_id: type } });
  return {
    type: 'TemplateProcessing',
    single: [...special(before), text('A', 0), ...special(after)],
    pair: [...special(before), text('A', 0), ...special(after), text('B', 1)],
    special_tokens: Object.fromEntries(tokens.map((token) => [token, { id: token, ids: [vocab[token]!], tokens: [token] }])),
  };
}

/** Splits `left right`. Neither half contains a space, because byte-level vocabularies write it as Ġ. */
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
  return typeof value === 'object' ? Array.from<unknown, number>(value, Number) : [];
}
