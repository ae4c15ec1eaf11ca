import { describe, expect, it } from 'vitest';
import { openTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import { embeddedModelPath } from '../resources.ts';
import { openModel } from '../models/open.ts';
import { builtInConversations, compareConversations } from './conversations.ts';

const tokenizer = openTokenizer(openModel(embeddedModelPath()).tokenizerSource!);
/** The same tokenizer with something of it changed. */
function changed(changes: Partial<Tokenizer>): Tokenizer {
  const methods = { encode: tokenizer.encode.bind(tokenizer), decode: tokenizer.decode.bind(tokenizer) };
  return { ...tokenizer, ...methods, ...changes } as Tokenizer;
}

describe('the template contract', () => {
  it('holds for a tokenizer read back from its own files', async () => {
    const metadata = tokenizer.toGgufMetadata();
    const check = await compareConversations(tokenizer, openTokenizer({ kind: 'gguf', metadata }), []);
    expect(check).toMatchObject({ passed: true });
    expect(check.text).toMatch(/^the same \d{3,} tokens for 20 conversations/);
    expect(builtInConversations.length).toBe(20);
  });

  it('names the first difference of another template', async () => {
    const chatTemplate = tokenizer.chatTemplate!.replaceAll('<|im_end|>', '<|im_end|> ');
    expect(chatTemplate).not.toBe(tokenizer.chatTemplate);
    const check = await compareConversations(tokenizer, changed({ chatTemplate }), []);
    expect(check.passed).toBe(false);
    expect(check.text).toMatch(/^conversation 1 differs from its token \d+ on: '.+' became '.+'/s);
  });

  it('fails when an answer ends elsewhere, and when only one side has a template', async () => {
    expect((await compareConversations(tokenizer, changed({ stopTokens: [0] }), [])).text).toMatch(/an answer ends at/);
    expect((await compareConversations(tokenizer, changed({ chatTemplate: null }), [])).passed).toBe(false);
    expect((await compareConversations(tokenizer, null, [])).passed).toBe(false);
    expect((await compareConversations(null, null, [])).passed).toBe(true);
  });
});
