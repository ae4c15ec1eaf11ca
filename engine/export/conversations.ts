/**
 * Checks tokenizer and template of an export: the same texts and conversations must become the same token ids as with those of
 * the model.
 */
import type { ChatMessage, ProofCheck } from '../contract.ts';
import type { Day } from '../data/day.ts';
import { openTemplate, type ChatTemplate } from '../data/template.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { Problem } from '../problem.ts';

const user = (content: string): ChatMessage => ({ role: 'user', content });
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content });
const system = (content: string): ChatMessage => ({ role: 'system', content });

/**
 * Lists conversations with words, names, digits, code, other scripts, white space, JSON, and text that looks like a special
 * token.
 */
export const builtInConversations: readonly (readonly ChatMessage[])[] = [
  [user('What is the capital of France?'), assistant('The capital of France is Paris.')],
  [user('Give the order as JSON: two teas for table 14.'), assistant('{"table": 14, "items": [{"name": "tea", "count": 2}]}')],
  [user('Schreib einen Satz über das Wetter.'), assistant('Heute ist es kühl, aber später wird es schön.')],
  [user('Add 1234 and 5678.'), assistant('1234 + 5678 = 6912')],
  [user('Write a function that doubles a number.'), assistant('def double(x):\n    return 2 * x\n')],
  [user('Say hello in Japanese.'), assistant('こんにちは 👋')],
  [system('You answer in one word.'), user('Is the sky blue?'), assistant('Yes')],
  [system('Du bist höflich.\nDu duzt niemanden.'), user('  Guten Tag!  '), assistant('Guten Tag! Wie kann ich Ihnen helfen?')],
  [user('Hi'), assistant('Hello!'), user('How are you?'), assistant('Well, thank you.')],
  [user('One'), assistant('Two'), user('Three'), assistant('Four'), user('Five'), assistant('Six')],
  [user('Tabs\tand\r\nline ends\n\n\nand   spaces '), assistant(' kept\tas they are \n')],
  [user('Что такое 3,14159?'), assistant('Это число π, примерно 22/7.')],
  [user('他说：“你好，世界！”'), assistant('“Hello, world!” he said.')],
  [user('مرحبا ١٢٣'), assistant('أهلًا وسهلًا')],
  [user("I'll say it's John's, won't I? WE'LL SEE."), assistant("You've said it; they'd agree, I'm sure.")],
  [user('x = [1, 2.5e-3, 0xFF]; // <b>&amp;</b>'), assistant('`x[2] === 255` → true; 100 % sure…')],
  [user('Write <|end|> and </s> and [INST] and <eos> as text.'), assistant('As text: <|im_end|>.')],
  [user('é é ﬁ Å Ａ'), assistant('🏳️‍🌈👩‍👩‍👧')],
  [user('{"role": "user", "content": "{{ nested }} {% raw %}"}'), assistant('{{ "no template" }}')],
  [user('The last one has no answer yet.')],
];

/**
 * Compares two tokenizers: the same texts, with every added token among them, must give the same tokens, and the same tokens
 * must have the special roles.
 */
export async function compareTokenizers(expected: Tokenizer | null, found: Tokenizer | null): Promise<ProofCheck> {
  const check = (passed: boolean, text: string): ProofCheck => ({ name: 'Tokenizer', value: null, limit: null, text, passed });
  if (expected === null && found === null) return { ...check(true, 'neither has one'), compared: false };
  if (expected === null || found === null) return check(false, 'only one of the two models has one');
  const contents = builtInConversations.flatMap((messages) => messages.map(({ content }) => content));
  const marked = contents.map((text) => `${expected.bosText ?? ''}${text}${expected.eosText ?? ''}`);
  const texts = [...marked, ...addedTokenTexts(expected)];
  for (const text of texts) {
    const [a, b] = [await expected.encode(text), await found.encode(text)];
    const at = a.findIndex((id, i) => id !== b[i]);
    if (at < 0 && a.length === b.length) continue;
    const from = at < 0 ? a.length : at;
    const near = (tokenizer: Tokenizer, ids: readonly number[]): Promise<string> =>
      tokenizer.decode(ids.slice(Math.max(0, from - 2), from + 4));
    return check(false, `'${await near(expected, a)}' becomes other tokens: '${await near(found, b)}'`);
  }
  if (expected.addBos !== found.addBos) return check(false, 'only one of the two puts the first special token in front');
  if (expected.addEos !== found.addEos) return check(false, 'only one of the two puts the last special token behind');
  for (const role of ['bos', 'eos', 'unknown', 'padding'] as const)
    // A token that is not used may be any: GGUF cannot say that there is none.
    if (expected[role] !== null && expected[role] !== found[role])
      return check(false, `the ${role} token is ${expected[role]}, but ${found[role] ?? 'none'} in the export`);
  const ends = differingEnds(expected, found);
  if (ends !== null) return check(false, ends);
  return check(true, `same tokens for ${texts.length} texts, same special tokens`);
}

/** Holds some conversations of a run's own data, and the date that templates print. */
export interface OwnConversations {
  readonly conversations: readonly (readonly ChatMessage[])[];
  readonly day: Day;
}

/** Compares the tokens of conversations and describes the first difference, if there is one. */
export async function compareConversations(
  expected: Tokenizer | null,
  found: Tokenizer | null,
  { conversations: own, day }: OwnConversations,
): Promise<ProofCheck> {
  const check = (passed: boolean, text: string): ProofCheck => ({
    name: 'Chat template',
    value: null,
    limit: null,
    text,
    passed,
  });
  const neither = (text: string): ProofCheck => ({ ...check(true, text), compared: false });
  if (expected === null && found === null) return neither('neither has a tokenizer');
  if (expected === null || found === null) return check(false, 'only one of the two models has a tokenizer');
  if (expected.chatTemplate === null && found.chatTemplate === null) return neither('neither has one');
  if (expected.chatTemplate === null || found.chatTemplate === null) return check(false, 'only one of the two models has one');
  const [template, other] = [openTemplate(expected, { day }), openTemplate(found, { day })];
  const conversations = [...builtInConversations, ...own];
  let tokens = 0;
  for (const [i, messages] of conversations.entries()) {
    const [a, b] = [await idsOf(expected, template, messages), await idsOf(found, other, messages)];
    // A template may refuse a conversation, for example for its system message; then both must.
    if (a === null && b === null) continue;
    const at = differsAt(a, b);
    if (at !== null) {
      const near = (tokenizer: Tokenizer, ids: readonly number[] | null): Promise<string> =>
        ids === null ? Promise.resolve('no text') : tokenizer.decode(ids.slice(at, at + 8));
      return check(
        false,
        `conversation ${i + 1} differs from its token ${at + 1} on: '${await near(expected, a)}' became '${await near(found, b)}'`,
      );
    }
    tokens += a!.length;
  }
  const ends = differingEnds(expected, found);
  if (ends !== null) return check(false, ends);
  return check(true, `the same ${tokens} tokens for ${conversations.length} conversations, the same ends of an answer`);
}

/** Describes how the tokens that end an answer differ, or is null when they do not. */
function differingEnds(expected: Tokenizer, found: Tokenizer): string | null {
  // A file that must name an end for a model that has none names a token that no answer has.
  const ends = expected.stopTokens.length > 0 ? found.stopTokens : found.stopTokens.filter((id) => !expected.isSpecial(id));
  const [wanted, got] = [expected.stopTokens, ends].map((ids) => ids.toSorted((a, b) => a - b).join());
  return wanted === got ? null : `an answer ends at the tokens ${wanted || 'none'}, but at ${got || 'none'} in the export`;
}

/**
 * Limits the time for vocabularies with thousands of reserved tokens: how many are read individually, and how many at a time in
 * one text.
 */
const addedTokenBounds = { alone: 512, inText: 64 };

/**
 * Returns texts with every added token in the middle and beside white space, and with as many as `addedTokenBounds` allows at
 * the start.
 */
export function addedTokenTexts({ addedTokens }: Pick<Tokenizer, 'addedTokens'>): string[] {
  // SentencePiece writes white space like this; in a text it is a space.
  const tokens = [...addedTokens.values()].map((token) => (/^\u2581+$/.test(token) ? ' '.repeat(token.length) : token));
  const step = Math.max(1, tokens.length / addedTokenBounds.alone);
  const alone = Array.from({ length: Math.ceil(tokens.length / step) }, (_, i) => tokens[Math.floor(i * step)]!);
  const texts = alone.map((token) => `${token}Start`);
  for (let start = 0; start < tokens.length; start += addedTokenBounds.inText)
    texts.push(
      tokens
        .slice(start, start + addedTokenBounds.inText)
        .map((token) => `${token}x${token} one  ${token}  two\n${token}\n${token}${token}\t`)
        .join('word'),
    );
  return texts;
}

async function idsOf(tokenizer: Tokenizer, template: ChatTemplate, messages: readonly ChatMessage[]): Promise<number[] | null> {
  try {
    const addGenerationPrompt = messages.at(-1)?.role !== 'assistant';
    return await tokenizer.encode(template.render(messages, { addGenerationPrompt }));
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/** Returns the first index at which two lists differ, or null when they do not. */
function differsAt(a: readonly number[] | null, b: readonly number[] | null): number | null {
  if (a === null || b === null) return 0;
  for (let i = 0; i < Math.max(a.length, b.length); i++) if (a[i] !== b[i]) return i;
  return null;
}
