/**
 * Translates a model's chat template into Ollama's language. A conversation of marks is rendered to find the text around the
 * messages. To check that this text is all the template adds, conversations are rendered both ways and their tokens compared.
 */
import type { ChatMessage } from '../../contract.ts';
import { openTemplate, type ChatTemplate } from '../../data/template.ts';
import type { Tokenizer } from '../../data/tokenizer.ts';
import { Problem } from '../../problem.ts';
import type { OwnConversations } from '../conversations.ts';
import { GoTemplateError, renderGoTemplate } from './go-template.ts';
import { canBeQuoted, type OllamaChat } from './modelfile.ts';

export interface ChosenChat extends OllamaChat {
  /** Says why there is no template, or is null where there is one. */
  readonly missing: string | null;
}

/** Returns a template for Ollama that gives the same tokens for these conversations, or the reason why there is none. */
export async function ollamaChat(tokenizer: Tokenizer, compared: OwnConversations, system: string | null): Promise<ChosenChat> {
  const none = (missing: string): ChosenChat => ({ template: null, system, missing });
  if (tokenizer.chatTemplate === null) return none('the model has no chat template');
  const chat = openTemplate(tokenizer, compared);
  const parts = partsOf(chat);
  if (parts === null) return none('its chat template is not made of fixed text around each message');
  const template = write(withoutBos(parts, tokenizer));
  const found = { template, system: system ?? parts.usualSystem };
  if (![template, found.system ?? ''].every(canBeQuoted)) return none('what it says cannot stand between three quotes');
  const difference = await compareOllama(tokenizer, found, compared);
  return difference === null ? { ...found, missing: null } : none(difference);
}

// ── What stands around messages ─────────────────────────────────────────────────────────────────────────────────────────

interface Parts {
  /** Gives the text before the first user message where there is no system message. */
  readonly start: string;
  /** Holds the text around a system message, up to the user message that follows, or null where the template takes none. */
  readonly system: { readonly before: string; readonly after: string; readonly at: 'start' | 'last user message' } | null;
  /** Gives the default system prompt that the template adds where a conversation has none, or null where it adds none. */
  readonly usualSystem: string | null;
  readonly userToAnswer: string;
  readonly answerToUser: string;
  /** Gives the text after the last user message, after which the answer begins. */
  readonly end: string;
}

/** Lists words that no template contains. Their last letters differ, so that none is the beginning of another. */
const marks = { system: 'qZsystemQz', first: 'qZfirstQz', answer: 'qZanswerQz', second: 'qZsecondQz' } as const;
type Mark = keyof typeof marks;

function partsOf(chat: ChatTemplate): Parts | null {
  const user = { role: 'user', content: marks.first } as const;
  const later = [{ role: 'assistant', content: marks.answer } as const, { role: 'user', content: marks.second } as const];
  const system = { role: 'system', content: marks.system } as const;
  const whole = split(render(chat, [user, ...later]), ['first', 'answer', 'second']);
  const short = split(render(chat, [user]), ['first']);
  if (whole === null || short === null) return null;
  const [start = '', userToAnswer = '', answerToUser = '', end = ''] = whole;
  if (short[0] !== start || short[1] !== end) return null;
  const withSystem = render(chat, [system, user, ...later]);
  const first = split(withSystem, ['system', 'first', 'answer', 'second']);
  const last = split(withSystem, ['first', 'answer', 'system', 'second']);
  const rest = [userToAnswer, answerToUser, end];
  if (first !== null && first.slice(2).join('\0') === rest.join('\0')) {
    const [before = '', after = ''] = first;
    const says = start.startsWith(before) && start.endsWith(after) && start.length > before.length + after.length;
    const usualSystem = says ? start.slice(before.length, start.length - after.length) : null;
    return { start, system: { before, after, at: 'start' }, usualSystem, userToAnswer, answerToUser, end };
  }
  if (last?.[0] === start && last[1] === userToAnswer && last[2] === answerToUser && last[4] === end)
    return {
      ...{ start, userToAnswer, answerToUser, end, usualSystem: null },
      system: { before: '', after: last[3]!, at: 'last user message' },
    };
  // It takes no system message, or leaves it out.
  if (withSystem === null || split(withSystem, ['first', 'answer', 'second'])?.join('\0') === whole.join('\0'))
    return { start, system: null, usualSystem: null, userToAnswer, answerToUser, end };
  return null;
}

function render(chat: ChatTemplate, messages: readonly ChatMessage[]): string | null {
  try {
    return chat.render(messages, { addGenerationPrompt: messages.at(-1)?.role !== 'assistant' });
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/**
 * Splits a text at the marks in this order. Returns the parts around them, or null where a mark does not occur exactly once.
 */
function split(text: string | null, order: readonly Mark[]): string[] | null {
  if (text === null) return null;
  const parts: string[] = [];
  let rest = text;
  for (const mark of order) {
    const [before, after, ...more] = rest.split(marks[mark]);
    if (before === undefined || after === undefined || more.length > 0) return null;
    parts.push(before);
    rest = after;
  }
  return [...parts, rest];
}

/** Removes the BOS token from the start, because Ollama adds it where the GGUF asks for it. */
function withoutBos(parts: Parts, { addBos, bosText }: Tokenizer): Parts {
  if (!addBos || bosText === null) return parts;
  const cut = (text: string): string => (text.startsWith(bosText) ? text.slice(bosText.length) : text);
  const { system } = parts;
  return { ...parts, start: cut(parts.start), system: system && { ...system, before: cut(system.before) } };
}

// ── Ollama's template ───────────────────────────────────────────────────────────────────────────────────────────────────

function write({ start, system, userToAnswer, answerToUser, end }: Parts): string {
  const opening =
    system?.at === 'start'
      ? `{{ if .System }}${text(system.before)}{{ .System }}${text(system.after)}{{ else }}${text(start)}{{ end }}`
      : `{{ if true }}${text(start)}{{ end }}`;
  const inLast =
    system?.at === 'last user message' ? `{{ if and $last $.System }}{{ $.System }}${text(system.after)}{{ end }}` : '';
  const user = `${inLast}{{ .Content }}{{ if $last }}${text(end)}{{ else }}${text(userToAnswer)}{{ end }}`;
  const answer = `{{ .Content }}{{ if not $last }}${text(answerToUser)}{{ end }}`;
  return [
    opening,
    '{{ range $i, $_ := .Messages }}',
    '{{ $last := eq (len (slice $.Messages $i)) 1 }}',
    `{{ if eq .Role "user" }}${user}`,
    `{{ else if eq .Role "assistant" }}${answer}{{ end }}`,
    '{{ end }}',
  ].join('');
}

function text(literal: string): string {
  return literal.replaceAll('{{', '{{ "{{" }}');
}

/**
 * Returns the prompt that Ollama makes of messages: it adds its own system message where none is given, and joins neighbours of
 * one role.
 */
export function ollamaPrompt(
  { template, system }: { template: string; system: string | null },
  messages: readonly ChatMessage[],
): string {
  const all =
    system === null || messages[0]?.role === 'system' ? messages : [{ role: 'system', content: system } as const, ...messages];
  const said = all.filter(({ role }) => role === 'system').map(({ content }) => content);
  const joined: { Role: string; Content: string }[] = [];
  for (const { role, content } of all) {
    const last = joined.at(-1);
    if (last?.Role === role && role !== 'tool') last.Content += `\n\n${content}`;
    else joined.push({ Role: role, Content: content });
  }
  return renderGoTemplate(template, { System: said.join('\n\n'), Messages: joined, Response: '' });
}

/**
 * Returns where the tokens of the model's own template and of Ollama's first differ, as a sentence, or null when they are the
 * same.
 */
export async function compareOllama(
  tokenizer: Tokenizer,
  { template, system }: OllamaChat,
  { conversations, day }: OwnConversations,
): Promise<string | null> {
  if (template === null) return null;
  const chat = openTemplate(tokenizer, { day });
  const trimmed = trimmedRoles(chat);
  for (const [i, given] of conversations.entries()) {
    // Ollama renders prompts, so an answer at the end is what it would generate.
    const asked = given.at(-1)?.role === 'assistant' ? given.slice(0, -1) : given;
    // Ollama's language cannot trim white space, so messages are compared without it.
    const messages = asked.map((message) =>
      trimmed.has(message.role) ? { ...message, content: message.content.trim() } : message,
    );
    const shown =
      system !== null && messages[0]?.role !== 'system'
        ? [{ role: 'system', content: system } as const, ...messages]
        : messages;
    const expected = render(chat, shown);
    // Ollama renders conversations that the template refuses.
    if (expected === null) continue;
    let found: string;
    try {
      found = ollamaPrompt({ template, system }, messages);
    } catch (error) {
      if (error instanceof GoTemplateError) return `Ollama's template cannot be rendered: ${error.message}`;
      throw error;
    }
    const [a, b] = [await tokenizer.encode(expected), await tokenizer.encode(found)];
    const begun = tokenizer.addBos && tokenizer.bos !== null ? [tokenizer.bos, ...b] : b;
    const at = a.findIndex((id, j) => id !== begun[j]);
    if (at >= 0 || a.length !== begun.length) {
      const from = at < 0 ? a.length : at;
      const near = (ids: readonly number[]): Promise<string> => tokenizer.decode(ids.slice(from, from + 8));
      return `conversation ${i + 1} differs from its token ${from + 1} on: '${await near(a)}' became '${await near(begun)}'`;
    }
  }
  return null;
}

/** Returns the roles for whose messages the template trims the white space around the content. */
export function trimmedRoles(chat: ChatTemplate): ReadonlySet<ChatMessage['role']> {
  const [first, answer, second] = [
    { role: 'user', content: marks.first },
    { role: 'assistant', content: marks.answer },
    { role: 'user', content: marks.second },
  ] as const;
  const padded = (message: ChatMessage): ChatMessage => ({ ...message, content: `  ${message.content}  ` });
  const tried = [
    { role: 'user', messages: [padded(first)] },
    { role: 'assistant', messages: [first, padded(answer), second] },
    { role: 'system', messages: [padded({ role: 'system', content: marks.system }), first] },
  ] as const;
  return new Set(
    tried.flatMap(({ role, messages }) => {
      const text = render(chat, messages);
      return text === null || Object.values(marks).some((mark) => text.includes(`  ${mark}  `)) ? [] : [role];
    }),
  );
}
