import { describe, expect, it } from 'vitest';
import type { GgufValue } from '../formats/gguf.ts';
import type { TokenizerSource } from '../models/tokenizer-source.ts';
import { openTokenizer, TextStream } from './tokenizer.ts';

/** A SentencePiece vocabulary as a Llama 2 GGUF has it: unknown, bos, eos, the bytes, then pieces with their scores. */
function sentencePiece(spacePrefix: boolean): Map<string, GgufValue> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const whole = ['he', 'll', 'hell', 'hello', '▁hello', 'or', '▁w', 'ld', '▁wor', '▁world'];
  const characters = ['▁', ...'helowrd'];
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...whole, ...characters];
  const scores = tokens.map((token) => (whole.includes(token) ? -whole.indexOf(token) : characters.includes(token) ? -100 : 0));
  const types = tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1));
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', { type: 'string', value: 'llama' }],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: tokens }],
    ['tokenizer.ggml.scores', { type: 'array', of: 'float32', value: scores }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: types }],
    ['tokenizer.ggml.bos_token_id', { type: 'uint32', value: 1 }],
    ['tokenizer.ggml.eos_token_id', { type: 'uint32', value: 2 }],
    ['tokenizer.ggml.unknown_token_id', { type: 'uint32', value: 0 }],
    ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: spacePrefix }],
  ]);
}

describe('a SentencePiece vocabulary out of a GGUF', () => {
  const tokenizer = openTokenizer({ kind: 'gguf', metadata: sentencePiece(true) });
  const pieces = sentencePiece(true).get('tokenizer.ggml.tokens')!.value as string[];
  const written = (ids: readonly number[]) => ids.map((id) => pieces[id]);

  it('joins the pair with the best score first and falls back to bytes', async () => {
    expect(written(await tokenizer.encode('hello world'))).toEqual(['▁hello', '▁world']);
    // 'ld' is made before '▁wor' could take its place, 'l' 'l' before 'l' 'd'.
    expect(written(await tokenizer.encode('hellld'))).toEqual(['▁', 'hell', 'ld']);
    expect(written(await tokenizer.encode('é'))).toEqual(['▁', '<0xC3>', '<0xA9>']);
    expect(written(await tokenizer.encode('he</s>he'))).toEqual(['▁', 'he', '</s>', '▁', 'he']);
    expect([tokenizer.addBos, tokenizer.bos, tokenizer.stopTokens]).toEqual([true, 1, [2]]);
  });

  it('gives the text back, whole and in pieces', async () => {
    const ids = await tokenizer.encode('hello world é 😀');
    expect(await tokenizer.decode(ids)).toBe('hello world é 😀');
    const stream = new TextStream(tokenizer);
    const deltas: string[] = [];
    for (const id of ids) deltas.push(await stream.push(id));
    expect(deltas.join('') + (await stream.flush())).toBe('hello world é 😀');
    expect(deltas[1]).toBe(' world');
  });

  it.each([true, false])('can be written to a GGUF again (space prefix %s)', async (prefix) => {
    const first = openTokenizer({ kind: 'gguf', metadata: sentencePiece(prefix) });
    const metadata = first.toGgufMetadata(300);
    expect((metadata.get('tokenizer.ggml.tokens')!.value as string[]).length).toBe(300);
    const again = openTokenizer({ kind: 'gguf', metadata });
    for (const text of ['hello world', 'hellld  or', 'é</s>hell wor'])
      expect(await again.encode(text)).toEqual(await first.encode(text));
    expect(await first.decode(await first.encode(' hello'))).toBe(' hello');
  });
});

/** A byte-level vocabulary of single bytes and no merges: its tokens show where text is cut only through what merges could join. */
function byteLevel(pre: string): Map<string, GgufValue> {
  // Bytes as GPT-2 writes them: printable ones as they are, the others from U+0100 on.
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  const letters = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
  const merges = ['1 2', '12 3', '123 4', 'a B', 'Ġ a', '! Ċ', '! /', '!/ /'];
  const tokens = [...letters, ...merges.map((merge) => merge.replace(' ', ''))];
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: pre }],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: tokens.map(() => 1) }],
    ['tokenizer.ggml.merges', { type: 'array', of: 'string', value: merges }],
  ]);
}

describe('a byte-level vocabulary out of a GGUF', () => {
  it.each([
    ['gpt-2', ['1234', 'aB', '!', 'Ċ', '!//']],
    ['smollm', ['1', '2', '3', '4', 'aB', '!', 'Ċ', '!//']],
    ['llama-bpe', ['123', '4', 'aB', '!Ċ', '!//']],
    ['qwen2', ['1', '2', '3', '4', 'aB', '!Ċ', '!//']],
    ['stablelm2', ['1', '2', '3', '4', 'aB', '!Ċ', '!//']],
    // Here a word ends where capitals begin.
    ['tekken', ['1', '2', '3', '4', 'a', 'B', '!Ċ', '!//']],
    ['gpt-4o', ['123', '4', 'a', 'B', '!Ċ', '!//']],
    ['deepseek-llm', ['1234', 'aB', '!', 'Ċ', '!//']],
    ['deepseek-coder', ['1', '2', '3', '4', 'aB', '!', 'Ċ', '!//']],
    ['deepseek-v3', ['123', '4', 'aB', '!Ċ', '!//']],
    ['spark2_5', ['1', '2', '3', '4', 'aB', '!', 'Ċ', '!//']],
    ['seed-coder', ['1', '2', '3', '4', 'aB', '!', 'Ċ', '!//']],
    ['bailingmoe', ['1', '2', '3', '4', 'aB', '!Ċ', '!//']],
    ['minicpm5', ['123', '4', 'aB', '!Ċ', '!//']],
    ['laguna', ['1', '2', '3', '4', 'aB', '!', 'Ċ', '!//']],
    ['jais-2', ['123', '4', 'aB', '!Ċ', '!//']],
    ['bloom', ['1234', 'aB', '!Ċ', '!', '/', '/']],
    ['viking', ['1', '2', '3', '4', 'aB', '!Ċ', '!', '/', '/']],
  ])('%s cuts where its rule says', async (pre, expected) => {
    const metadata = byteLevel(pre);
    const tokenizer = openTokenizer({ kind: 'gguf', metadata });
    const tokens = metadata.get('tokenizer.ggml.tokens')!.value as string[];
    expect((await tokenizer.encode('1234aB!\n!//')).map((id) => tokens[id])).toEqual(expected);
  });

  it.each(['gpt-2', 'olmo', 'smollm', 'command-r', 'llama-bpe', 'dbrx', 'qwen2', 'stablelm2', 'tekken', 'gpt-4o'])(
    '%s is written as a rule that cuts alike',
    async (pre) => {
      const first = openTokenizer({ kind: 'gguf', metadata: byteLevel(pre) });
      const again = openTokenizer({ kind: 'gguf', metadata: first.toGgufMetadata() });
      for (const text of ["It's 12345 aBC, don't!\n\n", 'naïve Ünïcode 日本 ٣٤\r\n\t x//y', '   a  B\n ', '!\n!//'])
        expect(await again.encode(text)).toEqual(await first.encode(text));
    },
  );

  // Names that llama.cpp gives one rule.
  it.each([
    ['gpt-2', ['phi-2', 'mpt', 'jais', 'gigachat', 'a.x-4.0', 'mellum', 'exaone4', 'trillion', 'granite-docling']],
    ['smollm', ['starcoder', 'refact', 'codeshell', 'minerva-7b', 'mellum2']],
    ['llama-bpe', ['llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'midm-2.0', 'lfm2']],
    ['dbrx', ['smaug-bpe', 'glm4', 'chatglm-bpe']],
    ['stablelm2', ['megrez', 'hunyuan', 'solar-open', 'grok-2']],
    ['qwen2', ['deepseek-r1-qwen', 'kormo', 'f2llmv2']],
    ['gpt-4o', ['llama4', 'kanana2', 'talkie', 'minimax-m2']],
    ['tiny_aya', ['cohere2moe']],
    ['deepseek-v3', ['hunyuan-dense', 'joyai-llm', 'hy_v4']],
    ['bailingmoe', ['bailingmoe2', 'llada-moe']],
    ['bloom', ['poro-chat', 'gpt3-finnish']],
  ])('%s is what others are called too', async (name, others) => {
    const first = openTokenizer({ kind: 'gguf', metadata: byteLevel(name) });
    for (const other of others) {
      const same = openTokenizer({ kind: 'gguf', metadata: byteLevel(other) });
      for (const text of ["It's 12345 aBC, DON'T! 日本ab\n\n", '!\n!// 1234\r\n\t  a'])
        expect(await same.encode(text), other).toEqual(await first.encode(text));
    }
  });

  /** What `tokenizers` cuts by a rule, through a vocabulary that joins every pair of letters of the text. */
  it.each([
    ['tiny_aya', '1234567 x', ['1', '234', '567', 'Ġx']],
    ['superbpe', 'ab 1234567', ['abĠ', '1', '234', '567']],
    ['gpt-4o', '1234567 x', ['123', '456', '7', 'Ġx']],
    ['deepseek-v3', "it's,ab #x", ['it', "'s", ',ab', 'Ġ#', 'x']],
    ['deepseek-llm', 'ab cd1234,', ['ab', 'Ġcd', '1234', ',']],
    ['ufakzeka', "it'sa", ['it', "'sa"]],
    ['exaone-moe', 'ab cd 12', ['abĠcd', 'Ġ', '1', '2']],
    ['jais-2', 'a       b', ['a', 'ĠĠĠĠ', 'ĠĠ', 'Ġb']],
  ])('%s keeps in one piece what belongs together', async (pre, text, expected) => {
    const metadata = byteLevel(pre);
    const old = metadata.get('tokenizer.ggml.tokens')!.value as string[];
    const inBytes = text.replaceAll(' ', 'Ġ');
    const wholes: string[] = [];
    for (let length = 2; length <= inBytes.length; length++)
      for (let at = 0; at + length <= inBytes.length; at++) wholes.push(inBytes.slice(at, at + length));
    const merges = [...new Set(wholes)].flatMap((whole) =>
      Array.from({ length: whole.length - 1 }, (_, cut) => `${whole.slice(0, cut + 1)} ${whole.slice(cut + 1)}`),
    );
    const tokens = [...new Set([...old, ...wholes])];
    metadata.set('tokenizer.ggml.tokens', { type: 'array', of: 'string', value: tokens });
    metadata.set('tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: tokens.map(() => 1) });
    metadata.set('tokenizer.ggml.merges', { type: 'array', of: 'string', value: merges });
    const ids = await openTokenizer({ kind: 'gguf', metadata }).encode(text);
    expect(ids.map((id) => tokens[id])).toEqual(expected);
  });

  it('refuses a rule that is not known by name', () => {
    expect(() => openTokenizer({ kind: 'gguf', metadata: byteLevel('kimi-k2') })).toThrow(/'kimi-k2'/);
  });
});

describe('forms of SentencePiece in tokenizer.json', () => {
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const metaspace = { type: 'Metaspace', replacement: '▁', split: false };
  it.each([
    ['Gemma', replace, { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false }, false],
    ['Llama 2', { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace] }, null, true],
    ['Metaspace everywhere', null, { ...metaspace, prepend_scheme: 'always' }, true],
    ['Metaspace at the start', null, { ...metaspace, prepend_scheme: 'first' }, false],
    ['Metaspace nowhere', null, { ...metaspace, prepend_scheme: 'never' }, false],
  ])('%s', (_, normalizer, preTokenizer, spacePrefix) => {
    const files = openTokenizer({ kind: 'gguf', metadata: sentencePiece(false) }).toHubFiles();
    const json = JSON.parse(files['tokenizer.json']) as Record<string, unknown>;
    const hub = openTokenizer({
      kind: 'hub',
      tokenizerJson: JSON.stringify({ ...json, normalizer, pre_tokenizer: preTokenizer }),
      tokenizerConfig: {},
      generationConfig: null,
      chatTemplate: null,
    });
    const metadata = hub.toGgufMetadata();
    expect(metadata.get('tokenizer.ggml.model')!.value).toBe('llama');
    expect(metadata.get('tokenizer.ggml.add_space_prefix')!.value).toBe(spacePrefix);
  });
});

/** A GGUF's byte-level vocabulary with further tokens, each of a type of llama.cpp. */
function withTokens(added: readonly (readonly [string, number])[], fields: Readonly<Record<string, GgufValue>> = {}) {
  const metadata = byteLevel('gpt-2');
  const list = (key: string) => metadata.get(`tokenizer.ggml.${key}`)!.value as readonly unknown[];
  const tokens = [...list('tokens'), ...added.map(([content]) => content)] as string[];
  const types = [...list('token_type'), ...added.map(([, type]) => type)] as number[];
  metadata.set('tokenizer.ggml.tokens', { type: 'array', of: 'string', value: tokens });
  metadata.set('tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: types });
  for (const [key, value] of Object.entries(fields)) metadata.set(key, value);
  return { metadata, id: (content: string) => tokens.lastIndexOf(content) };
}
const idOfKey = (value: number): GgufValue => ({ type: 'uint32', value });

describe('special tokens of a GGUF, as llama.cpp takes them', () => {
  it('a role that no key names is the default of the tokenizer’s kind', () => {
    const { bos, eos, unknown, padding } = openTokenizer({ kind: 'gguf', metadata: withTokens([]).metadata });
    expect([bos, eos, unknown, padding]).toEqual([11, 11, null, null]);
    const metadata = sentencePiece(false);
    for (const key of ['bos', 'eos', 'unknown']) metadata.delete(`tokenizer.ggml.${key}_token_id`);
    // An id beyond the vocabulary does not count.
    metadata.set('tokenizer.ggml.eos_token_id', idOfKey(100_000));
    const llama = openTokenizer({ kind: 'gguf', metadata });
    expect([llama.bos, llama.eos, llama.unknown]).toEqual([1, 2, 0]);
  });

  it('an end is matched whole and ends an answer by its name, whatever its type', async () => {
    const { metadata, id } = withTokens(
      [
        ['<|im_end|>', 1],
        ['<|eot_id|>', 4],
        ['<end>', 1],
        ['<tool>', 4],
        ['<|fim_prefix|>', 1],
        ['<|fim_pad|>', 1],
      ],
      { 'tokenizer.ggml.eot_token_id': idOfKey(266) },
    );
    expect(id('<end>')).toBe(266);
    const tokenizer = openTokenizer({ kind: 'gguf', metadata });
    const ends = [11, 266, id('<|im_end|>'), id('<|eot_id|>'), id('<|fim_pad|>')];
    expect([...tokenizer.stopTokens].sort((a, b) => a - b)).toEqual(ends.sort((a, b) => a - b));
    for (const name of ['<|im_end|>', '<|eot_id|>', '<tool>', '<|fim_prefix|>'])
      expect(await tokenizer.encode(`${name}a`)).toEqual([id(name), id('a')]);
    // So is an end that only an id names, which no merge makes.
    expect(await tokenizer.encode('<end>a')).toEqual([id('<end>'), id('a')]);
    expect(['<|im_end|>', '<|eot_id|>', '<tool>'].map((name) => tokenizer.isSpecial(id(name)))).toEqual([true, true, false]);
  });

  it('gpt-oss ends a part of an answer with <|end|>, not the answer', () => {
    const { metadata, id } = withTokens([
      ['<|end|>', 3],
      ['<|return|>', 3],
      ['<|call|>', 3],
      ['<|channel|>', 3],
    ]);
    const tokenizer = openTokenizer({ kind: 'gguf', metadata });
    expect(tokenizer.stopTokens).not.toContain(id('<|end|>'));
    expect(['<|end|>', '<|return|>', '<|channel|>'].map((name) => tokenizer.isSpecial(id(name)))).toEqual([false, true, false]);
  });

  it('a name with phi-3 in it means that tokens take the white space after them', async () => {
    const phi = [
      ['<unk>', 3],
      ['<s>', 3],
      ['</s>', 3],
      ['<|endoftext|>', 3],
      ['<|user|>', 3],
    ] as const;
    const named = (name: string, tokens: typeof phi | []) =>
      withTokens(tokens, { 'general.name': { type: 'string', value: name } });
    const { metadata, id } = named('My Phi-3 mini', phi);
    const tokenizer = openTokenizer({ kind: 'gguf', metadata });
    expect(await tokenizer.encode('<|user|> \n a<s> a')).toEqual([id('<|user|>'), id('a'), id('<s>'), id('Ġa')]);
    const plain = openTokenizer({ kind: 'gguf', metadata: named('mini', phi).metadata });
    expect(await plain.encode('<|user|> a')).toEqual([id('<|user|>'), id('Ġa')]);

    // Written again, the name says it, and says it of nothing else; a vocabulary without these tokens cannot have it.
    const nameOf = (written: ReadonlyMap<string, GgufValue>) => written.get('general.name')!.value;
    expect(nameOf(tokenizer.toGgufMetadata(undefined, 'base + run'))).toBe('base + run (Phi-3)');
    expect(nameOf(tokenizer.toGgufMetadata(undefined, 'phi3'))).toBe('phi3');
    expect(nameOf(plain.toGgufMetadata(undefined, 'Phi-3-mini + phi3'))).toBe('Phi 3-mini + Phi 3');
    expect(nameOf(openTokenizer({ kind: 'gguf', metadata: named('x', []).metadata }).toGgufMetadata(undefined, 'phi3'))).toBe(
      'Phi 3',
    );
    const again = openTokenizer({ kind: 'gguf', metadata: tokenizer.toGgufMetadata(undefined, 'x') });
    expect(await again.encode('</s> a<|user|>  a')).toEqual(await tokenizer.encode('</s> a<|user|>  a'));
  });

  it.each([
    [{ lstrip: true }, /'<tool>' takes white space before it \('lstrip'/],
    [{ rstrip: true }, /'<tool>' takes white space after it/],
    [{ single_word: true }, /'<tool>' counts only as a whole word/],
  ])('refuses to write %o, which llama.cpp does not know', (flags, message) => {
    const files = openTokenizer({ kind: 'gguf', metadata: withTokens([['<tool>', 3]]).metadata }).toHubFiles();
    const json = JSON.parse(files['tokenizer.json']) as { added_tokens: object[] };
    const tokenizer = openTokenizer({
      ...{ kind: 'hub', tokenizerConfig: {}, generationConfig: null, chatTemplate: null },
      tokenizerJson: JSON.stringify({ ...json, added_tokens: json.added_tokens.map((token) => ({ ...token, ...flags })) }),
    });
    expect(() => tokenizer.toGgufMetadata()).toThrow(message);
  });

  const hub = (
    tokens: readonly (readonly [string, number])[],
    changes: Partial<Extract<TokenizerSource, { kind: 'hub' }>> = {},
  ) =>
    openTokenizer({
      ...{ kind: 'hub', tokenizerConfig: {}, generationConfig: null, chatTemplate: null },
      tokenizerJson: openTokenizer({ kind: 'gguf', metadata: withTokens(tokens).metadata }).toHubFiles()['tokenizer.json'],
      ...changes,
    });
  const key = (metadata: ReadonlyMap<string, GgufValue>, name: string) => metadata.get(`tokenizer.ggml.${name}`)?.value;

  it('an end is always named, or llama.cpp would stop at the eleventh piece', () => {
    const gpt2 = hub([['<|endoftext|>', 3]], { config: { model_type: 'gpt2' } });
    expect([key(gpt2.toGgufMetadata(), 'eos_token_id'), key(gpt2.toGgufMetadata(), 'bos_token_id')]).toEqual([264, 264]);
    // None at all: a row without a token, else a token that no answer has.
    expect(key(hub([]).toGgufMetadata(269), 'eos_token_id')).toBe(264);
    expect(key(hub([['<a>', 3]]).toGgufMetadata(), 'eos_token_id')).toBe(264);
    expect(() => hub([]).toGgufMetadata()).toThrow(/names no end token/);
  });

  it('writes up to two ends that have no known name', () => {
    const tokens = ['<a>', '<b>', '<c>', '<d>', '<|im_end|>'].map((name) => [name, 3] as const);
    const ending = (ids: number[]) =>
      hub(tokens, { tokenizerConfig: { eos_token: '<a>' }, generationConfig: { eos_token_id: ids } });
    const written = openTokenizer({ kind: 'gguf', metadata: ending([265, 266, 268]).toGgufMetadata() });
    expect([...written.stopTokens].sort()).toEqual([264, 265, 266, 268]);
    expect(() => ending([264, 265, 266, 267]).toGgufMetadata()).toThrow(/names three/);
  });

  it('no text stands in a vocabulary twice, and an ordinary piece never becomes a special token', () => {
    const padded = key(
      hub([
        ['[PAD267]', 3],
        ['<a>', 3],
      ]).toGgufMetadata(269),
      'tokens',
    ) as string[];
    expect(new Set(padded).size).toBe(269);
    const config = JSON.parse(
      openTokenizer({ kind: 'gguf', metadata: withTokens([]).metadata }).toHubFiles()['tokenizer_config.json'],
    ) as object;
    expect(config).not.toHaveProperty('eos_token');
  });

  it('keeps the end after every text on both ways', () => {
    const { metadata } = withTokens([['<e>', 3]], {
      'tokenizer.ggml.eos_token_id': idOfKey(264),
      'tokenizer.ggml.add_eos_token': { type: 'bool', value: true },
    });
    const first = openTokenizer({ kind: 'gguf', metadata });
    expect([first.addBos, first.addEos]).toEqual([false, true]);
    const files = first.toHubFiles();
    const tokenizerConfig = JSON.parse(files['tokenizer_config.json']) as Record<string, unknown>;
    const again = openTokenizer({
      ...{ kind: 'hub', tokenizerJson: files['tokenizer.json'], generationConfig: null, chatTemplate: null },
      tokenizerConfig,
    });
    expect([again.addBos, again.addEos]).toEqual([false, true]);
    expect(key(again.toGgufMetadata(), 'add_eos_token')).toBe(true);
  });
});

it('white space that is an added token of SentencePiece stays white space', async () => {
  const files = openTokenizer({ kind: 'gguf', metadata: sentencePiece(false) }).toHubFiles();
  const json = JSON.parse(files['tokenizer.json']) as {
    added_tokens: object[];
    model: { vocab: Record<string, number>; merges: string[][] };
  };
  json.model.vocab['▁▁'] = 277;
  json.model.merges.push(['▁', '▁']);
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false };
  json.added_tokens.push({ id: 277, content: '▁▁', ...flags });
  const hub = openTokenizer({
    ...{ kind: 'hub', tokenizerConfig: { eos_token: '</s>' }, generationConfig: null, chatTemplate: null },
    tokenizerJson: JSON.stringify(json),
  });
  const metadata = hub.toGgufMetadata();
  expect((metadata.get('tokenizer.ggml.token_type')!.value as number[])[277]).toBe(1);
  expect(await openTokenizer({ kind: 'gguf', metadata }).encode('he  ll')).toEqual(await hub.encode('he  ll'));
});

describe('an added token that a GGUF calls a plain one', () => {
  /** `<|im_end|>` is known by its name, `<|fin|>` as eos, `<|turn|>` from the template, `<b>` from nowhere; merges make `<->`. */
  const added = ['<|im_end|>', '<|fin|>', '<|turn|>', '<b>'];
  const open = (type: number) => {
    const metadata = byteLevel('gpt-2');
    const tokens = metadata.get('tokenizer.ggml.tokens')!.value as string[];
    const merges = [...(metadata.get('tokenizer.ggml.merges')!.value as string[]), '< -', '<- >'];
    const all = [...tokens, '<-', '<->', ...added];
    metadata.set('tokenizer.ggml.tokens', { type: 'array', of: 'string', value: all });
    metadata.set('tokenizer.ggml.merges', { type: 'array', of: 'string', value: merges });
    const types = all.map((token) => (added.includes(token) ? type : 1));
    metadata.set('tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: types });
    metadata.set('tokenizer.ggml.eos_token_id', { type: 'uint32', value: all.indexOf('<|fin|>') });
    metadata.set('tokenizer.chat_template', { type: 'string', value: "{{ '<|turn|>' + messages[0].content + '<->' }}" });
    return { tokenizer: openTokenizer({ kind: 'gguf', metadata }), id: (token: string) => all.indexOf(token) };
  };

  it('is matched whole where a name, an id or the template says what it is', async () => {
    const { tokenizer, id } = open(1);
    expect(await tokenizer.encode('<|turn|>a<|im_end|><|fin|>')).toEqual(['<|turn|>', 'a', '<|im_end|>', '<|fin|>'].map(id));
    expect(await tokenizer.encode('<b>x<->')).toEqual(['<', 'b', '>', 'x', '<->'].map(id));
    expect([...tokenizer.addedTokens.values()]).toEqual(['<|im_end|>', '<|fin|>', '<|turn|>']);
    expect([tokenizer.isSpecial(id('<|im_end|>')), tokenizer.isSpecial(id('<|turn|>'))]).toEqual([true, false]);
  });

  it.each([1, 3, 4])('ends an answer by its name, and as eos, whatever its type (%i)', (type) => {
    const { tokenizer, id } = open(type);
    expect(tokenizer.stopTokens).toEqual([id('<|fin|>'), id('<|im_end|>')]);
  });
});
