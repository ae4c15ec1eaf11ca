import { describe, expect, it } from 'vitest';
import { openTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import { embeddedModelPath } from '../resources.ts';
import { openModel } from '../models/open.ts';
import { addedTokenTexts, builtInConversations, compareConversations, compareTokenizers } from './conversations.ts';

const tokenizer = openTokenizer(openModel(embeddedModelPath()).tokenizerSource!);
/** The same tokenizer with something of it changed. */
function changed(changes: Partial<Tokenizer>): Tokenizer {
  const methods = { encode: tokenizer.encode.bind(tokenizer), decode: tokenizer.decode.bind(tokenizer) };
  return { ...tokenizer, ...methods, ...changes } as Tokenizer;
}

const none = { conversations: [], day: '2026-07-15' };

describe('the template contract', () => {
  it('holds for a tokenizer read back from its own files', async () => {
    const metadata = tokenizer.toGgufMetadata();
    const check = await compareConversations(tokenizer, openTokenizer({ kind: 'gguf', metadata }), none);
    expect(check).toMatchObject({ passed: true });
    expect(check.text).toMatch(/^the same \d{3,} tokens for 20 conversations/);
    expect(builtInConversations.length).toBe(20);
  });

  it('names the first difference of another template', async () => {
    const chatTemplate = tokenizer.chatTemplate!.replaceAll('<|im_end|>', '<|im_end|> ');
    expect(chatTemplate).not.toBe(tokenizer.chatTemplate);
    const check = await compareConversations(tokenizer, changed({ chatTemplate }), none);
    expect(check.passed).toBe(false);
    expect(check.text).toMatch(/^conversation 1 differs from its token \d+ on: '.+' became '.+'/s);
  });

  it('fails when an answer ends elsewhere, and when only one side has a template', async () => {
    expect((await compareConversations(tokenizer, changed({ stopTokens: [0] }), none)).text).toMatch(/an answer ends at/);
    expect((await compareConversations(tokenizer, changed({ chatTemplate: null }), none)).passed).toBe(false);
    expect((await compareConversations(tokenizer, null, none)).passed).toBe(false);
    expect(await compareConversations(null, null, none)).toMatchObject({ passed: true, compared: false });
    expect(await compareTokenizers(null, null)).toMatchObject({ passed: true, compared: false });
  });
});

describe('the tokenizer contract', () => {
  const files = tokenizer.toHubFiles();
  const json = JSON.parse(files['tokenizer.json']) as { added_tokens: { content: string; rstrip: boolean }[] };
  const config = { bos_token: '<|im_start|>', eos_token: '<|im_end|>', unk_token: '<|endoftext|>', pad_token: '<|im_end|>' };
  /** The same vocabulary with a flag of its last added token changed. */
  const other = (flags: object): Tokenizer => {
    const added = json.added_tokens.map((token, i, { length }) => (i === length - 1 ? { ...token, ...flags } : token));
    return openTokenizer({
      ...{ kind: 'hub', generationConfig: null, chatTemplate: null, tokenizerConfig: config },
      tokenizerJson: JSON.stringify({ ...json, added_tokens: added }),
    });
  };
  const plain = other({});
  const metadata = plain.toGgufMetadata();

  it('holds through a GGUF, and for every added token', async () => {
    const texts = addedTokenTexts(tokenizer).join('');
    for (const token of tokenizer.addedTokens.values()) {
      expect(texts).toContain(`${token}Start`);
      expect(texts).toContain(`one  ${token}  two`);
    }
    const found = openTokenizer({ kind: 'gguf', metadata });
    expect(await compareTokenizers(plain, found)).toMatchObject({ passed: true });
  });

  it('finds a token that takes white space, and a token of another role', async () => {
    const found = await compareTokenizers(plain, other({ rstrip: true }));
    expect(found).toMatchObject({ passed: false, text: expect.stringContaining('becomes other tokens') as string });
    for (const role of ['bos', 'eos', 'unknown', 'padding'] as const)
      expect(await compareTokenizers(tokenizer, changed({ [role]: 77 }))).toMatchObject({ passed: false });
    for (const role of ['addBos', 'addEos'] as const)
      expect((await compareTokenizers(tokenizer, changed({ [role]: !tokenizer[role] }))).passed).toBe(false);
    expect((await compareTokenizers(tokenizer, changed({ stopTokens: [2] }))).text).toMatch(/an answer ends at/);
    expect((await compareTokenizers(tokenizer, changed({}))).passed).toBe(true);
  });

  it('an end that llama.cpp takes for want of one is no end of the model', async () => {
    const unnamed = new Map(metadata);
    unnamed.delete('tokenizer.ggml.eos_token_id');
    const found = openTokenizer({ kind: 'gguf', metadata: unnamed });
    expect(await compareTokenizers(plain, found)).toMatchObject({
      passed: false,
      text: 'the eos token is 2, but 11 in the export',
    });
  });

  it('takes bounded time for thousands of reserved tokens', () => {
    const addedTokens = new Map(Array.from({ length: 20_000 }, (_, id) => [id, `<reserved_${id}>`]));
    const texts = addedTokenTexts({ addedTokens });
    expect(texts.length).toBeLessThan(1000);
    expect(texts.join('')).toContain('one  <reserved_19999>  two');
  });
});
