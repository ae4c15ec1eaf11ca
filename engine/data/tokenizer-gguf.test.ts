import { describe, expect, it } from 'vitest';
import type { GgufValue } from '../formats/gguf.ts';
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
