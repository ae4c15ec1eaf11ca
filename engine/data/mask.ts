/**
 * Which part of a conversation is trained: the content of every assistant turn and the token that ends the turn, nothing else. A template
 * that marks the assistant's part itself (`{% generation %}`) is taken at its word.
 *
 * Otherwise the template alone knows where a content lands in the text, so it is rendered a second time with a mark in the place of every
 * assistant content; the text must be the same around the marks. Where a template treats contents differently (cuts thoughts out of
 * earlier turns, says nothing for an empty one), a turn is what a conversation that ends with it adds to one that ends before it.
 */
import type { ChatMessage } from '../contract.ts';
import type { Conversation } from './content.ts';
import { Problem } from '../problem.ts';
import type { ChatTemplate } from './template.ts';
import type { EncodedText, Tokenizer } from './tokenizer.ts';

/** `[start, end)` of a content within the rendered text; `turnEnd` bounds the search for its end-of-turn token. */
interface ContentSpan {
  readonly start: number;
  readonly end: number;
  readonly turnEnd: number;
}

/** A conversation as text with the place of every assistant content. */
export interface RenderedConversation {
  readonly text: string;
  readonly spans: readonly ContentSpan[];
}

const ignored = -100;

export function renderConversation(template: ChatTemplate, { messages }: Pick<Conversation, 'messages'>): RenderedConversation {
  const text = template.render(messages, { addGenerationPrompt: false });
  const contents = messages.filter((message) => message.role === 'assistant').map((message) => message.content);
  if (contents.length === 0) return { text, spans: [] };
  const generated = template.generated(messages);
  if (generated !== null) return { text, spans: generated.map((span) => ({ ...span, turnEnd: span.end })) };
  const spans = spansByMarks(template, messages, contents, text) ?? spansByPrefixes(template, messages, text);
  if (spans === null)
    throw new Problem(
      'data-invalid',
      'The chat template writes this conversation so that the assistant turns cannot be told from the rest.',
      'Split the conversation so that each row ends with the assistant turn to learn.',
    );
  return { text, spans };
}

/** Labels of the encoded text: the id where it is trained, -100 elsewhere. */
export function labelsOf(
  rendered: RenderedConversation,
  encoded: EncodedText,
  tokenizer: Pick<Tokenizer, 'isSpecial'>,
): Int32Array {
  const labels = new Int32Array(encoded.ids.length).fill(ignored);
  for (const { start, end, turnEnd } of rendered.spans) {
    let after = labels.length;
    for (let i = 0; i < encoded.ids.length; i++) {
      if (encoded.starts[i]! >= end) {
        after = i;
        break;
      }
      if (overlaps(encoded, i, start, end)) labels[i] = encoded.ids[i]!;
    }
    // The end-of-turn token: the first special one, with nothing but white space before it.
    for (let i = after; i < encoded.ids.length && encoded.ends[i]! <= turnEnd; i++) {
      const between = rendered.text.slice(end, encoded.starts[i]);
      if (between.trim() !== '') break;
      if (!tokenizer.isSpecial(encoded.ids[i]!)) continue;
      for (let j = after; j <= i; j++) labels[j] = encoded.ids[j]!;
      break;
    }
  }
  return labels;
}

/** Byte-level tokenizers report a token of trimmed white space with no width: it belongs where it stands. */
function overlaps({ starts, ends }: EncodedText, i: number, start: number, end: number): boolean {
  return ends[i]! > starts[i]! ? ends[i]! > start && starts[i]! < end : starts[i]! >= start && starts[i]! < end;
}

function spansByMarks(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  contents: readonly string[],
  text: string,
): ContentSpan[] | null {
  // Private-use characters: no template tests for them, no trim removes them.
  const mark = (i: number) => `\uE0F0${i}\uE0F1`;
  if (messages.some((message) => message.content.includes('\uE0F0'))) return null;
  let next = 0;
  const marked = template.render(
    messages.map((message) => (message.role === 'assistant' ? { ...message, content: mark(next++) } : message)),
    { addGenerationPrompt: false },
  );
  const pieces: string[] = [];
  let rest = marked;
  for (let i = 0; i < contents.length; i++) {
    const parts = rest.split(mark(i));
    if (parts.length !== 2) return null;
    pieces.push(parts[0]!);
    rest = parts[1]!;
  }
  pieces.push(rest);
  const found: { start: number; end: number }[] = [];
  let at = 0;
  for (const [i, content] of contents.entries()) {
    if (!text.startsWith(pieces[i]!, at)) return null;
    at += pieces[i]!.length;
    const written = [content, content.trim(), content.trimEnd(), content.trimStart()].find(
      (form) => text.startsWith(form, at) && text.startsWith(pieces[i + 1]!, at + form.length),
    );
    if (written === undefined) return null;
    found.push({ start: at, end: at + written.length });
    at += written.length;
  }
  if (text.slice(at) !== rest) return null;
  // A turn ends where the conversation up to it ends, if the template can say so; else right after its first following token.
  return found.map(({ start, end }, i) => ({ start, end, turnEnd: turnEndOf(template, messages, text, i, end) }));
}

/** Where the text of the i-th assistant turn ends: the length of the conversation up to it, when that is how the text begins. */
function turnEndOf(template: ChatTemplate, messages: readonly ChatMessage[], text: string, i: number, end: number): number {
  const upTo = messages.slice(0, positionOf(messages, i) + 1);
  if (upTo.length === messages.length) return text.length;
  const prefix = attempt(() => template.render(upTo, { addGenerationPrompt: false }));
  return prefix !== null && prefix.length >= end && text.startsWith(prefix) ? prefix.length : text.length;
}

function spansByPrefixes(template: ChatTemplate, messages: readonly ChatMessage[], text: string): ContentSpan[] | null {
  const spans: ContentSpan[] = [];
  for (let i = 0; i < messages.length; i++) {
    if (messages[i]!.role !== 'assistant') continue;
    const before = attempt(() => template.render(messages.slice(0, i), { addGenerationPrompt: true }));
    const through = attempt(() => template.render(messages.slice(0, i + 1), { addGenerationPrompt: false }));
    if (before === null || through === null || !through.startsWith(before) || !text.startsWith(through)) return null;
    const turn = through.slice(before.length);
    const content = messages[i]!.content.trim();
    const at = turn.lastIndexOf(content);
    if (at < 0) return null;
    // What the template writes before the content within the turn (thoughts, a channel) is the model's to write as well.
    spans.push({ start: before.length, end: before.length + at + content.length, turnEnd: through.length });
  }
  return spans;
}

function positionOf(messages: readonly ChatMessage[], assistant: number): number {
  let seen = -1;
  return messages.findIndex((message) => message.role === 'assistant' && ++seen === assistant);
}

function attempt(render: () => string): string | null {
  try {
    return render();
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}
