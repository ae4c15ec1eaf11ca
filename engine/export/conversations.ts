/**
 * The template contract: the same conversations become the same token ids through the model's template and tokenizer and through those
 * that an export carries.
 */
import type { ChatMessage, ProofCheck } from '../contract.ts';
import { openTemplate, type ChatTemplate } from '../data/template.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { Problem } from '../problem.ts';

const user = (content: string): ChatMessage => ({ role: 'user', content });
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content });
const system = (content: string): ChatMessage => ({ role: 'system', content });

/** Words, names, digits, code, other scripts, white space, JSON, and what looks like a special token. */
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

/** The first difference, or that there is none. */
export async function compareConversations(
  expected: Tokenizer | null,
  found: Tokenizer | null,
  own: readonly (readonly ChatMessage[])[],
): Promise<ProofCheck> {
  const check = (passed: boolean, text: string): ProofCheck => ({
    name: 'Chat template',
    value: null,
    limit: null,
    text,
    passed,
  });
  if (expected === null || found === null)
    return check(
      expected === found,
      expected === found ? 'neither has a tokenizer' : 'only one of the two models has a tokenizer',
    );
  if (expected.chatTemplate === null || found.chatTemplate === null) {
    const same = expected.chatTemplate === found.chatTemplate;
    return check(same, same ? 'neither has one' : 'only one of the two models has one');
  }
  const [template, other] = [openTemplate(expected), openTemplate(found)];
  const conversations = [...builtInConversations, ...own];
  let tokens = 0;
  for (const [i, messages] of conversations.entries()) {
    const [a, b] = [await idsOf(expected, template, messages), await idsOf(found, other, messages)];
    // A template may refuse a conversation, a system message for one: then both must.
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
  const [stops, otherStops] = [expected.stopTokens, found.stopTokens].map((ids) => [...ids].sort((a, b) => a - b).join());
  if (stops !== otherStops) return check(false, `an answer ends at the tokens ${stops}, but at ${otherStops} in the export`);
  return check(true, `the same ${tokens} tokens for ${conversations.length} conversations, the same ends of an answer`);
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

/** The first place where they differ; null when they do not. */
function differsAt(a: readonly number[] | null, b: readonly number[] | null): number | null {
  if (a === null || b === null) return 0;
  for (let i = 0; i < Math.max(a.length, b.length); i++) if (a[i] !== b[i]) return i;
  return null;
}
