/** Text without a chat template as ids and labels: a prompt with its completion, or a document that is trained as a whole. */
import type { Encoded } from './rows.ts';
import type { Tokenizer } from './tokenizer.ts';

const ignored = -100;

export async function encodeCompletion(
  content: { readonly prompt: string; readonly completion: string },
  tokenizer: Tokenizer,
): Promise<Encoded> {
  const bos = bosOf(tokenizer);
  // Apart, so that the prompt has the ids it will have when it is asked.
  const prompt = await tokenizer.encode(content.prompt);
  const before = prompt[0] === bos[0] ? prompt : [...bos, ...prompt];
  const after = await tokenizer.encode(content.completion);
  if (tokenizer.eos !== null && !tokenizer.stopTokens.includes(after.at(-1) ?? -1)) after.push(tokenizer.eos);
  return {
    inputIds: Int32Array.from([...before, ...after]),
    labels: Int32Array.from([...before.map(() => ignored), ...after]),
    messages: null,
    text: content.prompt + content.completion,
  };
}

export async function encodeDocument(text: string, tokenizer: Tokenizer): Promise<Encoded> {
  const bos = bosOf(tokenizer);
  const ids = await tokenizer.encode(text);
  const inputIds = Int32Array.from(ids[0] === bos[0] ? ids : [...bos, ...ids]);
  return { inputIds, labels: inputIds.slice(), messages: null, text };
}

function bosOf(tokenizer: Tokenizer): readonly number[] {
  return tokenizer.addBos && tokenizer.bos !== null ? [tokenizer.bos] : [];
}
