/**
 * Encodes text without a chat template as ids and labels: a prompt with its completion, or a document that is trained as a
 * whole.
 */
import type { Encoded } from './encoded.ts';
import { ignored } from '../labels.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Holds a text as ids and labels. `withoutStopToken` is `[0]` where the text should end and no token ends it. */
type EncodedText = Encoded & { readonly withoutStopToken: readonly number[] };

/**
 * Encodes a prompt and its completion. The completion is trained, with the token that ends it.
 *
 * The prompt has the ids that it has when it is encoded alone, as in inference. The completion has those that follow in the
 * whole text, because SentencePiece would put a space before a completion encoded alone. Where a token of the whole text spans
 * the boundary (a prompt that ends with a space), the prompt is kept, and the completion has the ids that it has after another
 * character. TRL would train the spanning token there, after a prompt that never occurs in inference.
 */
export async function encodeCompletion(
  { prompt, completion }: { readonly prompt: string; readonly completion: string },
  tokenizer: Tokenizer,
): Promise<EncodedText> {
  const before = await tokenizer.encode(prompt);
  const after = await continuation(prompt, before, completion, tokenizer);
  after.push(...endOf(after, tokenizer));
  const ended = tokenizer.stopTokens.includes(after.at(-1) ?? -1);
  if (!ended && tokenizer.eos !== null) after.push(tokenizer.eos);
  const bos = beginningOf(before.length > 0 ? before : after, tokenizer);
  return {
    inputIds: Int32Array.from([...bos, ...before, ...after]),
    labels: Int32Array.from([...[...bos, ...before].map(() => ignored), ...after]),
    messages: null,
    text: prompt + completion,
    withoutStopToken: ended || tokenizer.eos !== null ? [] : [0],
  };
}

/** Encodes a document, which is trained as a whole. */
export async function encodeDocument(
  text: string,
  tokenizer: Tokenizer,
  { addEosToken }: { readonly addEosToken: boolean },
): Promise<EncodedText> {
  const own = await tokenizer.encode(text);
  const ids = [...own, ...endOf(own, tokenizer)];
  const lacksEnd = addEosToken && !isEnded(text, ids, tokenizer);
  const end = lacksEnd && tokenizer.eos !== null ? [tokenizer.eos] : [];
  const inputIds = Int32Array.from([...beginningOf(own, tokenizer), ...ids, ...end]);
  const withoutStopToken = lacksEnd && end.length === 0 ? [0] : [];
  return { inputIds, labels: inputIds.slice(), messages: null, text, withoutStopToken };
}

/** Hardly any tokenizer joins these characters with every character that may follow. */
const anchors = ['\n', 'a', '.', '0'];

/** Returns the ids of `completion` after `prompt`, whose ids are `before`. */
async function continuation(
  prompt: string,
  before: readonly number[],
  completion: string,
  tokenizer: Tokenizer,
): Promise<number[]> {
  const after = async (text: string, ids: readonly number[]): Promise<number[] | null> => {
    const whole = await tokenizer.encode(text + completion);
    return ids.every((id, i) => whole[i] === id) ? whole.slice(ids.length) : null;
  };
  const own = await after(prompt, before);
  if (own !== null) return own;
  for (const anchor of anchors) {
    const ids = await tokenizer.encode(anchor);
    const found = ids.length === 0 ? null : await after(anchor, ids);
    if (found !== null) return found;
  }
  return tokenizer.encode(completion);
}

/** Returns whether a document already ends with the end-of-text token, or with a token that ends an answer. */
function isEnded(text: string, ids: readonly number[], { eosText, stopTokens }: Tokenizer): boolean {
  return stopTokens.includes(ids.at(-1) ?? -1) || (eosText !== null && text.trimEnd().endsWith(eosText));
}

/** Returns the tokens that the tokenizer puts before a text, without those that `ids` already begin with. */
export function beginningOf(ids: readonly number[], { before }: Pick<Tokenizer, 'before'>): readonly number[] {
  if (ids.length > 0 && ids[0] === before[0]) return [];
  const missing = before.findIndex((_, from) => before.slice(from).every((id, i) => ids[i] === id));
  return missing < 0 ? before : before.slice(0, missing);
}

/**
 * Returns the tokens that the tokenizer puts after a text, without the end-of-text token and those that `ids` already end with.
 */
function endOf(ids: readonly number[], { after, eos }: Tokenizer): readonly number[] {
  const end = after.at(-1) === eos ? after.slice(0, -1) : after;
  for (let held = Math.min(end.length, ids.length); held > 0; held--)
    if (end.slice(0, held).every((id, i) => ids[ids.length - held + i] === id)) return end.slice(held);
  return end;
}
