/** Encodes an example of a conversation as tokens with their labels. */
import { ignored } from '../labels.ts';
import type { ConversationExample } from './mask.ts';
import type { Tokenizer } from './tokenizer.ts';
import type { Span } from './turns.ts';

/**
 * Encodes an example as ids and labels. A label is the id where the token is trained, and -100 elsewhere. The tokens of a
 * prompt are those that the prompt has when it is encoded by itself.
 */
export async function encodeExample(
  { text, trained, prompts }: ConversationExample,
  tokenizer: Pick<Tokenizer, 'encode' | 'encodeWithOffsets' | 'decode' | 'addedTokens'>,
): Promise<{ inputIds: Int32Array; labels: Int32Array }> {
  const { ids, starts, ends } = await tokenizer.encodeWithOffsets(text);
  const inputIds: number[] = [];
  const labels: number[] = [];
  const put = (id: number, start: number, end: number): void => {
    inputIds.push(id);
    // A token of zero width is a character added by the normalizer; it belongs to the span that it stands in.
    const within = (span: Span) =>
      end > start ? end > span.start && start < span.end : start >= span.start && start < span.end;
    labels.push(trained.some(within) ? id : ignored);
  };
  let before = 0;
  for (const [i, id] of ids.entries()) {
    // Some tokenizers report a token without its leading white space, or without white space that the previous token took.
    const start = Math.min(starts[i]!, before);
    const end = ends[i]!;
    before = Math.max(before, end);
    const cut = prompts.find((prompt) => prompt > start && prompt < end);
    const parts = cut === undefined ? null : await cutToken(id, text.slice(start, cut), text.slice(cut, end), tokenizer);
    // An added token that takes the white space after it cannot be cut, so it belongs to the prompt.
    const isPrompts = cut !== undefined && starts[i]! < cut && tokenizer.addedTokens.has(id);
    if (parts === null) put(id, starts[i]!, isPrompts ? cut : end);
    else {
      for (const part of parts[0]) put(part, start, cut!);
      for (const part of parts[1]) put(part, cut!, end);
    }
  }
  return { inputIds: Int32Array.from(inputIds), labels: Int32Array.from(labels) };
}

/**
 * Returns both parts of a token's text encoded separately. Returns null where the text is not that of the token, or would no
 * longer be the same.
 */
async function cutToken(
  id: number,
  left: string,
  right: string,
  tokenizer: Pick<Tokenizer, 'encode' | 'decode'>,
): Promise<readonly [number[], number[]] | null> {
  const [only, ...more] = await tokenizer.encode(left + right);
  if (only !== id || more.length > 0) return null;
  const parts = [await tokenizer.encode(left), await tokenizer.encode(right)] as const;
  return (await tokenizer.decode(parts.flat())) === left + right ? parts : null;
}
