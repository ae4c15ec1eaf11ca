/**
 * Decides which tokens of a hub folder are special, how added tokens are matched, and which tokens end an answer. It follows
 * what transformers 5 reads from the files (AutoTokenizer and PreTrainedTokenizerBase._from_pretrained).
 */
import type { TokenizerSource } from '../models/tokenizer-source.ts';
import type { AddedToken, Around, TokenizerJson } from './tokenizer-parts.ts';

type HubSource = Extract<TokenizerSource, { kind: 'hub' }>;
type Fields = Readonly<Record<string, unknown>>;

/** Holds the texts of the tokens that have a role. Null means that the tokenizer has none. */
export interface SpecialTokens {
  readonly bos: string | null;
  readonly eos: string | null;
  readonly unknown: string | null;
  readonly padding: string | null;
}

/** Holds the defaults of a tokenizer class of transformers, for what the files leave out. */
interface TokenizerClass extends SpecialTokens {
  /** Says whether a text begins with `bos`, for a class that ignores tokenizer.json in this. */
  readonly addBos: boolean | null;
}

const none: TokenizerClass = { bos: null, eos: null, unknown: null, padding: null, addBos: null };
const endOfText = '<|endoftext|>';
const gpt2: TokenizerClass = { ...none, bos: endOfText, eos: endOfText, unknown: endOfText };
const llama: TokenizerClass = { ...none, bos: '<s>', eos: '</s>', unknown: '<unk>' };
const qwen2: TokenizerClass = { ...none, eos: endOfText, unknown: endOfText, padding: endOfText };

/** Maps `tokenizer_class`, without `Fast` at its end, to its defaults. Every other class depends on the files alone. */
const tokenizerClasses: Readonly<Record<string, TokenizerClass>> = {
  CodeGenTokenizer: gpt2,
  CodeLlamaTokenizer: { ...llama, addBos: true },
  CohereTokenizer: { ...none, bos: '<BOS_TOKEN>', eos: '<|END_OF_TURN_TOKEN|>', unknown: '<UNK>', padding: '<PAD>' },
  GemmaTokenizer: { ...none, bos: '<bos>', eos: '<eos>', unknown: '<unk>', padding: '<pad>' },
  GPT2Tokenizer: gpt2,
  GPTNeoXTokenizer: { ...gpt2, padding: '<|padding|>', addBos: false },
  LlamaTokenizer: llama,
  Qwen2Tokenizer: qwen2,
  Qwen3_5Tokenizer: qwen2,
};

/**
 * Maps a `model_type` to its class in transformers. '' is the generic class, which has no defaults and takes precedence over a
 * named class.
 */
const classOfModel: Readonly<Record<string, string>> = {
  ...named('CohereTokenizer', ['aya_vision', 'cohere', 'cohere2']),
  ...named('GemmaTokenizer', ['gemma', 'gemma2', 'gemma3', 'gemma3_text', 'gemma3n', 'gemma3n_text', 'recurrent_gemma']),
  ...named('GPT2Tokenizer', ['codegen', 'dbrx', 'gpt2', 'gpt_neo', 'gptj', 'opt', 'phi', 'starcoder2']),
  ...named('GPTNeoXTokenizer', ['falcon_mamba', 'gpt_neox', 'mamba', 'mamba2', 'mpt', 'olmo', 'olmoe', 'rwkv', 'xlstm']),
  ...named('Qwen2Tokenizer', ['qwen2', 'qwen2_5_vl', 'qwen2_moe', 'qwen2_vl', 'qwen3', 'qwen3_moe', 'qwen3_next', 'qwen3_vl']),
  ...named('Qwen3_5Tokenizer', ['qwen3_5', 'qwen3_5_moe', 'qwen3_5_moe_text', 'qwen3_5_text']),
  ...named('', ['ernie4_5', 'ernie4_5_moe', 'flex_olmo', 'glm', 'glm4', 'glm4_moe', 'gpt_bigcode', 'granite', 'granitemoe']),
  ...named('', ['granitemoehybrid', 'granitemoeshared', 'internlm2', 'internlm3', 'ministral', 'ministral3', 'mistral']),
  ...named('', ['mistral3', 'mixtral', 'nemotron', 'olmo2', 'olmo3', 'persimmon', 'phi3', 'phimoe', 'smolvlm', 'stablelm']),
};

/** Lists the model types whose files name a wrong class. The class of the model type applies instead. */
const namesWrongClass: ReadonlySet<string> = new Set([
  ...['qwen2', 'qwen3_5', 'qwen3_5_moe', 'qwen3_5_moe_text', 'phi3', 'phimoe', 'nemotron', 'internlm2', 'internlm3'],
  ...['ernie4_5', 'ernie4_5_moe', 'smolvlm'],
]);

function named(name: string, models: readonly string[]): Record<string, string> {
  return Object.fromEntries(models.map((model) => [model, name]));
}

function classOf(source: HubSource, json: TokenizerJson): TokenizerClass {
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const model = text(source.config?.['model_type']) ?? '';
  const declared = (text(source.tokenizerConfig['tokenizer_class']) ?? text(source.config?.['tokenizer_class']))?.replace(
    /Fast$/,
    '',
  );
  const ofModel = Object.hasOwn(classOfModel, model) ? classOfModel[model]! : null;
  // Files of byte-level tokenizers may name LlamaTokenizer, which could not read them.
  const byteLevel = /"type":"ByteLevel"/.test(JSON.stringify([json.pre_tokenizer, json.decoder]));
  if (declared === 'LlamaTokenizer' && byteLevel && !namesWrongClass.has(model)) return none;
  const name =
    declared === undefined || ofModel === '' || (ofModel !== null && namesWrongClass.has(model)) ? (ofModel ?? '') : declared;
  return Object.hasOwn(tokenizerClasses, name) ? tokenizerClasses[name]! : none;
}

/**
 * Returns the added tokens with their flags. `added_tokens_decoder` of tokenizer_config.json overrides tokenizer.json; where it
 * is missing, added_tokens.json may name further tokens. New tokens get the ids after the existing ones. A token of the
 * vocabulary that the files name as special is added too.
 */
export function addedTokens(source: HubSource, json: TokenizerJson): AddedToken[] {
  const tokens = statedTokens(source, json);
  for (const { content, ...given } of namedSpecials(source, json)) {
    const id = tokens.has(content) ? null : idInVocabulary(json, content);
    if (id !== null) tokens.set(content, { ...defaultFlags, normalized: false, ...given, special: true, id, content });
  }
  return [...tokens.values()];
}

type Flags = Omit<AddedToken, 'id' | 'content'>;
const defaultFlags: Flags = { single_word: false, lstrip: false, rstrip: false, normalized: true, special: false };

/** Returns the flags that an object of the files states. */
function flagsOf(token: Fields): Partial<Flags> {
  return Object.fromEntries(Object.keys(defaultFlags).flatMap((flag) => (flag in token ? [[flag, token[flag] === true]] : [])));
}

/** Returns the tokens that the files, or else the class, name as special: roles, model-specific tokens and additional ones. */
function namedSpecials(source: HubSource, json: TokenizerJson): (Partial<Flags> & { readonly content: string })[] {
  const files = namingFields(source);
  const further = ['additional_special_tokens', 'extra_special_tokens', 'model_specific_special_tokens'].flatMap((field) =>
    Object.values((files[field] ?? {}) as Fields | readonly unknown[]),
  );
  const stated = Object.entries(files).flatMap(([field, value]) => (field.endsWith('_token') ? [value] : []));
  return [...stated, ...further, ...Object.values(rolesOf(source, json))].flatMap((value) => {
    const content = tokenText(value);
    return content === null ? [] : [{ ...(isFields(value) ? flagsOf(value) : {}), content }];
  });
}

/** Returns the id of a token of the vocabulary. That of a Unigram model is a list of pieces with their scores. */
function idInVocabulary({ model: { vocab } }: TokenizerJson, content: string): number | null {
  if (!Array.isArray(vocab)) return Object.hasOwn(vocab, content) ? vocab[content]! : null;
  const id = (vocab as readonly unknown[]).findIndex((entry) => Array.isArray(entry) && entry[0] === content);
  return id < 0 ? null : id;
}

/** Returns the added tokens that the files list. */
function statedTokens(source: HubSource, json: TokenizerJson): Map<string, AddedToken> {
  const tokens = new Map(json.added_tokens.map((token) => [token.content, token]));
  const decoder = source.tokenizerConfig['added_tokens_decoder'];
  if (isFields(decoder)) {
    for (const [id, token] of Object.entries(decoder).sort(([a], [b]) => Number(a) - Number(b)))
      if (isFields(token) && typeof token['content'] === 'string') {
        const given = flagsOf(token);
        const special = given['special'] === true;
        const content = token['content'];
        const known = tokens.get(content)?.id ?? Number(id);
        tokens.set(content, { ...defaultFlags, normalized: !special, ...given, id: known, content });
      }
    return tokens;
  }
  const roles = Object.values(textsOf(source));
  for (const [content, id] of Object.entries(source.addedTokens ?? {}).sort(([, a], [, b]) => Number(a) - Number(b))) {
    if (tokens.has(content)) continue;
    const special = roles.includes(content);
    tokens.set(content, { ...defaultFlags, normalized: !special, special, id: Number(id), content });
  }
  return tokens;
}

/** Returns the roles as the files name them: null where they say that there is none, and absent where they say nothing. */
function textsOf(source: HubSource): Partial<Record<keyof SpecialTokens, string | null>> {
  const files = namingFields(source);
  const fields = { bos: 'bos_token', eos: 'eos_token', unknown: 'unk_token', padding: 'pad_token' };
  return Object.fromEntries(
    Object.entries(fields).flatMap(([role, field]) => (field in files ? [[role, tokenText(files[field])]] : [])),
  );
}

/**
 * Returns the fields in which tokens are named. The older of the two forms is read where the newer one is missing, and then
 * takes precedence.
 */
function namingFields({ tokenizerConfig, specialTokensMap }: HubSource): Fields {
  return isFields(tokenizerConfig['added_tokens_decoder']) ? tokenizerConfig : { ...tokenizerConfig, ...specialTokensMap };
}

function rolesOf(source: HubSource, json: TokenizerJson): SpecialTokens {
  const { addBos: _, ...defaults } = classOf(source, json);
  const paddingOfFile = tokenText((json.padding as { pad_token?: unknown } | null | undefined)?.pad_token);
  return { ...defaults, ...(paddingOfFile === null ? {} : { padding: paddingOfFile }), ...textsOf(source) };
}

/**
 * Returns the roles of tokens, and what stands before and after every text. `around` is null for a class that ignores
 * tokenizer.json in this.
 */
export function specialTokens(
  source: HubSource,
  json: TokenizerJson,
): SpecialTokens & { readonly addBos: boolean; readonly addEos: boolean; readonly around: Around | null } {
  const { addBos } = classOf(source, json);
  const roles = rolesOf(source, json);
  // With a tokenizer.json, transformers ignores `add_bos_token` and `add_eos_token` of the config.
  if (addBos !== null) return { ...roles, addBos: roles.bos !== null && addBos, addEos: false, around: null };
  const around = aroundText(json.post_processor);
  const isToken = (text: string | null, id: number | undefined): boolean =>
    text !== null &&
    id !== undefined &&
    (idInVocabulary(json, text) ?? json.added_tokens.find(({ content }) => content === text)?.id) === id;
  return {
    ...roles,
    addBos: isToken(roles.bos, around.before[0]),
    addEos: isToken(roles.eos, around.after.at(-1)),
    around,
  };
}

/** Returns what a post-processor, alone or in a Sequence, puts before and after a text. */
function aroundText(processor: unknown): Around {
  const nothing = { before: [], after: [] };
  if (!isFields(processor)) return nothing;
  const { type, single, processors, cls, sep, special_tokens: specials } = processor;
  if (type === 'Sequence' && Array.isArray(processors)) {
    const all = processors.map(aroundText);
    return { before: all.toReversed().flatMap(({ before }) => before), after: all.flatMap(({ after }) => after) };
  }
  const idsOf = (ids: readonly unknown[]): number[] => ids.filter((id): id is number => Number.isInteger(id));
  const second = (pair: unknown): number[] => (Array.isArray(pair) ? idsOf([pair[1]]) : []);
  if (type === 'RobertaProcessing' || type === 'BertProcessing') return { before: second(cls), after: second(sep) };
  if (type !== 'TemplateProcessing' || !Array.isArray(single)) return nothing;
  const pieces = single as { Sequence?: unknown; SpecialToken?: { id?: unknown } }[];
  const text = pieces.findIndex((piece) => piece.Sequence !== undefined);
  const ids = (part: typeof pieces): number[] =>
    part.flatMap(({ SpecialToken: token }) => {
      const special = isFields(specials) && typeof token?.id === 'string' ? specials[token.id] : null;
      return isFields(special) && Array.isArray(special['ids']) ? idsOf(special['ids']) : [];
    });
  return text < 0 ? nothing : { before: ids(pieces.slice(0, text)), after: ids(pieces.slice(text + 1)) };
}

/**
 * Returns the ids that generation uses (`eos_token_id` and the like), from generation_config.json or else config.json,
 * including the text part of a multimodal config. There may be several end tokens.
 */
export function generationIds(source: HubSource, field: 'bos_token_id' | 'eos_token_id' | 'pad_token_id'): number[] {
  const text = source.config?.['text_config'];
  const stated = [source.generationConfig, source.config, isFields(text) ? text : null].map((file) => file?.[field] ?? null);
  const value = stated.find((ids) => ids !== null);
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id) && Number(id) >= 0);
}

/** Returns the text of a token, which the files store as text or as an object with `content`. */
function tokenText(value: unknown): string | null {
  const content = isFields(value) ? value['content'] : value;
  return typeof content === 'string' && content !== '' ? content : null;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
