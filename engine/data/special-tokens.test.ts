import { describe, expect, it } from 'vitest';
import type { TokenizerSource } from '../models/tokenizer-source.ts';
import { encodeCompletion, encodeDocument } from './plain-text.ts';
import { openTokenizer, type Tokenizer } from './tokenizer.ts';

type HubSource = Extract<TokenizerSource, { kind: 'hub' }>;
type Fields = Record<string, unknown>;

const plainFlags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const letters = [...'abchx<>/|_', 'Ġ'];

/** Letters and these added tokens, the first of which has the id 11. */
function tokenizerJson(added: readonly string[], changes: Fields = {}): string {
  const vocab = Object.fromEntries(letters.map((letter, id) => [letter, id]));
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return JSON.stringify({
    version: '1.0',
    ...{ truncation: null, padding: null, normalizer: null, pre_tokenizer: bytes, post_processor: null, decoder: bytes },
    added_tokens: added.map((content, i) => ({ id: letters.length + i, content, ...plainFlags })),
    model: { type: 'BPE', unk_token: null, fuse_unk: false, byte_fallback: false, vocab, merges: [] },
    ...changes,
  });
}

function open(added: readonly string[], files: Partial<HubSource> & { json?: Fields } = {}): Tokenizer {
  const { json, ...rest } = files;
  return openTokenizer({
    ...{
      kind: 'hub',
      tokenizerJson: tokenizerJson(added, json),
      tokenizerConfig: {},
      generationConfig: null,
      chatTemplate: null,
    },
    ...rest,
  });
}

const roles = ({ bos, eos, unknown, padding }: Tokenizer): (number | null)[] => [bos, eos, unknown, padding];
const endOfText = '<|endoftext|>';
const llama = ['<s>', '</s>', '<unk>'];

describe('roles of tokens in a hub folder, as transformers has them', () => {
  it.each([
    ['gpt2 with nothing but a length', [endOfText], { model_type: 'gpt2' }, { model_max_length: 1024 }, [11, 11, 11, null]],
    ['null is no end', [endOfText], { model_type: 'gpt2' }, { eos_token: null }, [11, null, 11, null]],
    ['a default that the vocabulary lacks', [], { model_type: 'gpt2' }, {}, [null, null, null, null]],
    ['qwen2', [endOfText], { model_type: 'qwen2' }, {}, [null, 11, 11, 11]],
    [
      'qwen2 whatever class it names',
      [endOfText],
      { model_type: 'qwen2' },
      { tokenizer_class: 'PreTrainedTokenizerFast' },
      [null, 11, 11, 11],
    ],
    ['gpt_neox', [endOfText, '<|padding|>'], { model_type: 'gpt_neox' }, {}, [11, 11, 11, 12]],
    ['gemma', ['<bos>', '<eos>', '<unk>', '<pad>'], { model_type: 'gemma2' }, {}, [11, 12, 13, 14]],
    ['cohere', ['<BOS_TOKEN>', '<|END_OF_TURN_TOKEN|>'], { model_type: 'cohere' }, {}, [11, 12, null, null]],
    ['llama names its class', llama, { model_type: 'llama', tokenizer_class: 'CodeLlamaTokenizer' }, {}, [11, 12, 13, null]],
    [
      'a byte-level Llama has no defaults',
      llama,
      { model_type: 'llama' },
      { tokenizer_class: 'LlamaTokenizerFast' },
      [null, null, null, null],
    ],
    ['phi3 goes by its files', llama, { model_type: 'phi3' }, { tokenizer_class: 'LlamaTokenizer' }, [null, null, null, null]],
    [
      'stablelm goes by its files',
      [endOfText],
      { model_type: 'stablelm' },
      { tokenizer_class: 'GPT2Tokenizer' },
      [null, null, null, null],
    ],
  ])('%s', (_, added, config, tokenizerConfig, expected) => {
    expect(roles(open(added, { config, tokenizerConfig }))).toEqual(expected);
  });

  it('special_tokens_map.json wins where the newer form is missing, and is passed over where it is there', () => {
    const specialTokensMap = { eos_token: { content: '<b>' }, pad_token: '<a>' };
    const older = open(['<a>', '<b>'], { tokenizerConfig: { eos_token: '<a>' }, specialTokensMap });
    expect(roles(older)).toEqual([null, 12, null, 11]);
    const newer = { eos_token: '<a>', added_tokens_decoder: { 11: { content: '<a>', ...plainFlags } } };
    expect(roles(open(['<a>', '<b>'], { tokenizerConfig: newer, specialTokensMap }))).toEqual([null, 11, null, null]);
  });

  it('generation goes by generation_config.json, then config.json, of a wrapper too; ids that no token has do not count', () => {
    const added = ['<a>', '<b>', '<c>'];
    const config = { eos_token_id: 12 };
    const ends = (files: Partial<HubSource>) => open(added, files).stopTokens;
    expect(ends({ config })).toEqual([12]);
    expect(ends({ config: { text_config: { eos_token_id: [11, 13] } } })).toEqual([11, 13]);
    expect(ends({ config, generationConfig: { eos_token_id: [13, 999] } })).toEqual([13]);
    expect(ends({ config, generationConfig: {} })).toEqual([12]);
    // The end of a text is the tokenizer's own where it has one.
    expect(open(added, { config }).eos).toBe(12);
    expect(open(added, { config, tokenizerConfig: { eos_token: '<a>' } }).eos).toBe(11);
  });

  it('only the post-processor says what stands around a text', () => {
    const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
    const text = { Sequence: { id: 'A', type_id: 0 } };
    const tokens = { '<s>': { id: '<s>', ids: [11], tokens: ['<s>'] }, '</s>': { id: '</s>', ids: [12], tokens: ['</s>'] } };
    const single = [special('<s>'), text, special('</s>')];
    const template = { type: 'TemplateProcessing', single, pair: [...single, text], special_tokens: tokens };
    const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
    const names = { bos_token: '<s>', eos_token: '</s>' };
    const around = (processor: unknown, tokenizerConfig: Fields, config: Fields = {}): boolean[] => {
      const { addBos, addEos } = open(llama, { tokenizerConfig, config, json: { post_processor: processor } });
      return [addBos, addEos];
    };
    expect(around(null, { ...names, add_bos_token: true, add_eos_token: true })).toEqual([false, false]);
    expect(around(template, { ...names, add_bos_token: false })).toEqual([true, true]);
    expect(around({ type: 'Sequence', processors: [bytes, template] }, names)).toEqual([true, true]);
    expect(around(template, { bos_token: '<unk>' })).toEqual([false, false]);
    // GPT-NeoX's class makes its own.
    expect(around(template, names, { model_type: 'gpt_neox' })).toEqual([false, false]);
  });

  it('plain text has all that the post-processor adds, once', async () => {
    const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
    const text = { Sequence: { id: 'A', type_id: 0 } };
    const special_tokens = Object.fromEntries(llama.map((id, i) => [id, { id, ids: [11 + i], tokens: [id] }]));
    const processor = (...single: unknown[]) => ({
      post_processor: { type: 'TemplateProcessing', single, pair: [...single, text], special_tokens },
    });
    const tokenizer = open(llama, {
      json: processor(special('<s>'), special('<unk>'), text, special('<unk>')),
      tokenizerConfig: { bos_token: '<s>', eos_token: '</s>' },
    });
    const document = async (words: string, with_ = tokenizer) => [
      ...(await encodeDocument(words, with_, { addEosToken: true })).inputIds,
    ];
    expect(await document('a')).toEqual([11, 13, 0, 13, 12]);
    expect(await document('<s><unk>a<unk>')).toEqual([11, 13, 0, 13, 12]);
    expect(await document('<unk>a')).toEqual([11, 13, 0, 13, 12]);
    expect([...(await encodeCompletion({ prompt: 'a', completion: 'b' }, tokenizer)).inputIds]).toEqual([11, 13, 0, 1, 13, 12]);
    expect(() => tokenizer.toGgufMetadata()).toThrow(/GGUF/);
    // Where no file names a beginning, it is the one token that stands there.
    expect(await document('a', open(llama, { json: processor(special('<unk>'), text) }))).toEqual([13, 0]);
    const unnamed = open(llama, { json: processor(special('<s>'), text) });
    expect([await document('a', unnamed), unnamed.bos, unnamed.addBos]).toEqual([[11, 0], 11, true]);
  });

  it('flags in tokenizer_config.json override those of tokenizer.json, and reach the files that are written', async () => {
    const decoder = { 11: { content: '<a>', ...plainFlags, rstrip: true }, 12: { content: '<new>', special: false } };
    const tokenizer = open(['<a>'], { tokenizerConfig: { added_tokens_decoder: decoder } });
    expect(await tokenizer.encode('a<a>  b<new>c')).toEqual([0, 11, 1, 12, 2]);
    expect(JSON.parse(tokenizer.toHubFiles()['tokenizer.json'])).toMatchObject({
      added_tokens: [
        { content: '<a>', rstrip: true },
        { content: '<new>', special: false },
      ],
    });
    const older = open(['<a>'], { addedTokens: { '<new>': 12 } });
    expect(await older.encode('a<new>c')).toEqual([0, 12, 2]);
  });

  it('a token of the vocabulary that the files name as special is matched whole, with the flags they give it', async () => {
    const vocab = Object.fromEntries([...letters, '<a>', '<b>', '<c>', '<x>'].map((piece, id) => [piece, id]));
    const model = { type: 'BPE', unk_token: null, fuse_unk: false, byte_fallback: false, vocab, merges: [] };
    const named = { eos_token: '<a>', additional_special_tokens: ['<b>'], cls_token: '</s>', add_bos_token: true };
    const specialTokensMap = { sep_token: { content: '<c>', rstrip: true } };
    const tokenizer = open([], { json: { model }, tokenizerConfig: named, specialTokensMap });
    expect(await tokenizer.encode('a<a><b><c> b')).toEqual([0, 11, 12, 13, 1]);
    expect([tokenizer.eos, tokenizer.isSpecial(12)]).toEqual([11, true]);
    // What no file names stays text, and so does what the vocabulary lacks.
    expect((await tokenizer.encode('<x></s>')).length).toBeGreaterThan(5);
    const newer = { added_tokens_decoder: { 11: { content: '<a>', ...plainFlags } }, eos_token: '<a>', image_token: '<b>' };
    expect(await open([], { json: { model }, tokenizerConfig: newer }).encode('<a><b>')).toEqual([11, 12]);
  });

  it('an end is one by its name, special or not', () => {
    const json = JSON.parse(tokenizerJson(['<|im_end|>', '<a>'])) as { added_tokens: { special: boolean }[] };
    json.added_tokens[0]!.special = false;
    expect(open([], { json }).stopTokens).toEqual([11]);
  });
});
