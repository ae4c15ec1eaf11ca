/**
 * Builds the loss mask of a conversation. What the model has to write after the generation prompt is trained, up to and
 * including the token that ends its turn, and nothing else.
 *
 * For an assistant turn the chat template is rendered twice: the messages before the turn with `add_generation_prompt`, and the
 * conversation through the turn without it. What the second rendering adds to the first is the turn. It ends at its first token
 * that ends an answer; a line break that the template writes after that token is not the model's. So the header of a turn is
 * not trained, whereas a channel or an empty thought that the template writes between prompt and answer is.
 *
 * - Where later turns leave a turn as it was written, one example trains them all. Where the template writes earlier turns
 *   differently (it removes thoughts, or writes an end token after the last turn only), each such turn is an example of its
 *   own. It is trained as it is written when it is the last turn, which is how the model will have to write it.
 * - Where the turn does not begin with the prompt, because the prompt opens a thought that the template removes from every
 *   turn, the answer is appended to the prompt as it stands. An answer without a thought gets an empty one, as such templates
 *   write it.
 * - Where the token that ends a turn is the beginning of the next turn (GLM begins it with `<|user|>`), that token is trained,
 *   also after the last turn: a model that has not learned it never stops.
 * - A tool call is part of the turn that makes it. Its result is not, because the model does not write it.
 * - `{% generation %}` marks exclude parts of a turn. The end token is trained even where a mark closes before it.
 */
import type { ChatMessage } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import { wordsOf } from './calls.ts';
import type { Conversation } from './content.ts';
import type { EndTokens } from './end-tokens.ts';
import { ignored } from '../labels.ts';
import { attempt, inputsOf, mark, type TemplateInputs, thoughtOf } from './template-inputs.ts';
import type { ChatTemplate, TemplateVariables } from './template.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Marks a range `[start, end)` of characters in a text. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** Holds a conversation, or its beginning, as text with the spans that are trained. */
export interface ConversationExample {
  readonly messages: readonly ChatMessage[];
  readonly text: string;
  readonly trained: readonly Span[];
  /**
   * Holds the lengths of the prompts in the text. The model begins to write at these positions, so a token boundary is forced
   * there.
   */
  readonly prompts: readonly number[];
  /** Numbers the last assistant turn that is trained, from 1. */
  readonly turn: number;
  /** Numbers the trained messages, from 1, that do not end with a token that ends an answer. */
  readonly endless: readonly number[];
  /** Holds the generation prompt of each trained turn: the prompt without the conversation before it. */
  readonly asks: readonly string[];
}

export interface RenderedConversation {
  /**
   * Holds one example where the template leaves earlier turns as they were, otherwise at most one for each trained turn, in the
   * order of the turns.
   */
  readonly examples: readonly ConversationExample[];
  /** Lists the messages that the template leaves out wholly, or of which it leaves out a part that is not a thought. */
  readonly leftOut: readonly LeftOut[];
  /** Counts the turns that would be examples of their own and are left out because only the last one is wanted. */
  readonly passedOver: number;
}

/** Names a message whose content the template leaves out by its number, from 1, and its role. */
export interface LeftOut {
  readonly message: number;
  readonly role: ChatMessage['role'];
}

/** Holds the settings that decide how conversations are rendered. */
type Rules = Pick<RowSettings, 'unroll' | 'foldSystem'>;

/**
 * Renders a conversation. Throws a `Problem` for an answer that is empty, left out by the template, or impossible to tell apart
 * from the rest, and for anything that the template does not write at all.
 */
export function renderConversation(
  template: ChatTemplate,
  conversation: Conversation,
  ends: EndTokens,
  rules: Rules = { unroll: 'all', foldSystem: false },
): RenderedConversation {
  const inputs = inputsOf(template, conversation, rules);
  const rendering = new Rendering(template, inputs, ends);
  const { messages, trained } = inputs;
  const answers = [...messages.keys()].filter((i) => messages[i]!.role === 'assistant');
  const learned = answers.filter((i) => trained[i] === true);
  for (const i of learned) requireAnswer(messages[i]!, i);

  const untrained = { trained: [], prompts: [], turn: 0, endless: [], asks: [] };
  const whole: Draft = {
    ...{ messages, text: rendering.text(messages.length), ...untrained },
    marks: learned.length === 0 ? null : rendering.marks(messages.length),
  };
  const drafts: Draft[] = [];
  for (const [i, turn] of learned.map((i) => [i, rendering.turn(i)] as const).toReversed()) {
    const later = drafts[0] ?? whole;
    const fits = later.text.startsWith(turn.text.slice(0, turn.end));
    const own = { messages: messages.slice(0, i + 1), text: turn.text, ...untrained, marks: turn.marks };
    const draft = fits ? later : own;
    const trained = spansOf(turn, draft.marks);
    if (trained.length === 0) continue;
    if (fits) drafts.shift();
    drafts.unshift({
      ...draft,
      trained: [...trained, ...draft.trained],
      prompts: [turn.start, ...draft.prompts],
      turn: draft.turn || answers.indexOf(i) + 1,
      endless: turn.tail === null ? [i + 1, ...draft.endless] : draft.endless,
      asks: [turn.ask, ...draft.asks],
    });
  }
  const leftOut = rendering.leftOut().map((message) => ({ message, role: messages[message - 1]!.role }));
  const examples = drafts.length === 0 ? [whole] : unrolled(drafts, rules);
  const turnsOf = (some: readonly ConversationExample[]) => some.reduce((sum, { prompts }) => sum + prompts.length, 0);
  return { examples, leftOut, passedOver: turnsOf(drafts) - turnsOf(examples.filter(({ turn }) => turn > 0)) };
}

/**
 * Returns the examples that are wanted of a conversation. Throws a `Problem` where there should be only one and there are more.
 */
function unrolled<T extends ConversationExample>(drafts: readonly T[], { unroll }: Rules): readonly T[] {
  if (drafts.length === 1 || unroll === 'all') return drafts;
  if (unroll === 'last') return drafts.slice(-1);
  throw new Problem(
    'data-invalid',
    `the chat template writes message ${drafts[0]!.messages.length} differently once others follow, so the conversation is ${drafts.length} examples and not one.`,
    `Choose to unroll such conversations (unroll 'all' or 'last'), or leave the row out.`,
  );
}

/** Holds an unfinished example with the spans that its template marks as generated, or null where it marks none. */
interface Draft extends ConversationExample {
  readonly marks: readonly Span[] | null;
}

/** Returns the spans of a turn that are trained: all of it, or the marked parts and its end token. */
function spansOf({ start, end, tail }: Turn, marks: readonly Span[] | null): Span[] {
  if (marks === null) return [{ start, end }];
  const within = marks.filter((span) => span.end > start && span.start < end);
  const spans = within.map((span) => ({ start: Math.max(start, span.start), end: Math.min(end, span.end) }));
  return spans.length === 0 || tail === null ? spans : [...spans, { start: tail, end }];
}

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

function requireAnswer({ content, tool_calls: calls = [] }: ChatMessage, i: number): void {
  if (calls.length > 0 || thoughtOf(content).answer.trim() !== '') return;
  throw new Problem(
    'data-empty',
    `message ${i + 1} is an answer without text, which teaches the model to say nothing.`,
    'Write the answer, leave the row out, or say in the row that this turn is not trained.',
  );
}

/** Matches characters that templates escape, and line breaks, which they escape or trim. */
const escaped = /["'&<>\\\p{Cc}]+/u;

/** Returns whether a text contains all of `said` in order, ignoring white space, case and how characters are escaped. */
function holds(text: string, said: string): boolean {
  if (text.includes(said.trim())) return true;
  const plain = (value: string) => value.toLowerCase().replaceAll(/\s+/g, '');
  const within = plain(text);
  let at = 0;
  for (const piece of said.split(escaped).map(plain)) {
    const found = within.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return true;
}

/** Returns a text as JSON writes it in ASCII alone. */
function inAscii(text: string): string {
  return text.replace(/[^\0-\x7F]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

interface Turn {
  /** Holds the conversation through the turn. */
  readonly text: string;
  /** Gives the position at which the prompt ends; `end` gives that of the turn. */
  readonly start: number;
  readonly end: number;
  /** Gives the position at which the content is complete and the end token follows, or null where there is no end token. */
  readonly tail: number | null;
  readonly marks: readonly Span[] | null;
  readonly ask: string;
}

/** Holds the text of a conversation through one of its turns. Its first `start` characters are the prompt. */
interface Written {
  readonly text: string;
  readonly start: number;
  /** Is true where the template alone wrote the text. */
  readonly plain: boolean;
  readonly variables: TemplateVariables;
}

/** Holds the text of a turn that has an end: no content comes after `tail`, and nothing of the turn after `end`. */
interface Closed {
  readonly text: string;
  readonly tail: number;
  readonly end: number;
}

const closedThought = /<\/think>\s*$/;

/** Matches a thought that a prompt opens at its end. */
const openedThought = /<(\w+)>\s*$/;
/**
 * Matches a thought that a prompt opens and closes because the model should not think: `<think></think>`, `<|channel>thought
 * <channel|>` or `[THINK][/THINK]`.
 */
const emptyThought = /[<[]\|?(?:START_)?([\w:]+)\|?[>\]]\w*\s*[<[][/|]?(?:END_)?\1\|?[>\]]\s*$/;
/** Matches a header that says who speaks: nothing but tags. */
const tagsAlone = /^\s*(?:<[^<>\s]+>\s*)+$/;

/** Returns a prompt without the thought or the white space at its end. */
function headOf(prompt: string): string {
  const thought = emptyThought.exec(prompt) ?? openedThought.exec(prompt);
  return thought === null ? prompt.trimEnd() : prompt.slice(0, thought.index);
}

/** Returns what follows a beginning that may differ in its white space, or null where the text begins differently. */
function cutLoosely(text: string, beginning: string): string | null {
  let at = 0;
  for (const unit of beginning) {
    if (unit.trim() === '') continue;
    while (text[at]?.trim() === '') at++;
    if (!text.startsWith(unit, at)) return null;
    at += unit.length;
  }
  const blank = /\s*$/.exec(beginning)![0];
  return text.slice(text.startsWith(blank, at) ? at + blank.length : at);
}

/** These template variables ask for a thought. They are tried for an answer that has one. */
const thinking: readonly string[] = ['enable_thinking', 'thinking'];

/** Remembers the generation prompts found for each template, longest first. */
const asksOf = new WeakMap<ChatTemplate, readonly string[]>();
const mostAsks = 16;

class Rendering {
  readonly #template: ChatTemplate;
  readonly #conversation: TemplateInputs;
  readonly #ends: EndTokens;
  readonly #texts = new Map<number, string>();

  constructor(template: ChatTemplate, conversation: TemplateInputs, ends: EndTokens) {
    this.#template = template;
    this.#conversation = conversation;
    this.#ends = ends;
  }

  /** Renders the first `count` messages. */
  text(count: number): string {
    let text = this.#texts.get(count);
    if (text === undefined) {
      text = this.#render(this.#conversation.messages.slice(0, count), false);
      this.#texts.set(count, text);
    }
    return text;
  }

  /** Returns the spans that the template marks as generated in the first `count` messages. */
  marks(count: number, variables: TemplateVariables = this.#conversation.variables): readonly Span[] | null {
    const messages = this.#conversation.messages.slice(0, count).map(this.#conversation.write);
    return this.#template.generated(messages, { addGenerationPrompt: false, variables });
  }

  turn(i: number): Turn {
    const written = this.#written(i);
    const { text, start, plain, variables } = written;
    const found = this.#ends.find(text, start);
    const closed = found === null ? this.#closedByNext(i, written) : { text, ...found };
    if (closed === null) this.#requireNothingBehind(i, variables);
    const end = start + text.slice(start).trimEnd().length;
    // Marks exist only in text that the template itself wrote.
    const marks = plain ? this.marks(i + 1, variables) : null;
    return { ...{ text, end, tail: null }, ...closed, start, marks, ask: this.#ask(i, text.slice(0, start), variables) };
  }

  /** Returns what a prompt adds to the conversation before answer `i`. */
  #ask(i: number, prompt: string, variables: TemplateVariables): string {
    const known = asksOf.get(this.#template) ?? [];
    // Nearly all prompts of a template end in the same words, and rendering the conversation again only to find them is slow.
    const same = known.find((ask) => prompt.endsWith(ask));
    if (same !== undefined) return same;
    const isOwn = variables === this.#conversation.variables;
    const render = () => (isOwn ? this.text(i) : this.#render(this.#conversation.messages.slice(0, i), false, variables));
    const before = i === 0 ? '' : (attempt(render) ?? '');
    let shared = 0;
    while (shared < before.length && before[shared] === prompt[shared]) shared++;
    const ask = prompt.slice(shared);
    if (ask !== '' && known.length < mostAsks)
      asksOf.set(
        this.#template,
        [...known, ask].toSorted((a, b) => b.length - a.length),
      );
    return ask;
  }

  /**
   * Returns the numbers of messages, from 1, that the template leaves out, or of which it leaves out a part that is not a
   * thought. Throws a `Problem` where such a message is an answer to be trained.
   */
  leftOut(): number[] {
    const { messages, trained } = this.#conversation;
    const marks = messages.map((message, i) => ({ ...message, content: message.content.trim() === '' ? '' : mark(i) }));
    const marked = attempt(() => this.#render(marks, false));
    // A template may refuse contents other than these, or use only a part of them.
    const lacks = (text: string | null, ofMarks: string | null, { role, content }: ChatMessage, i: number) =>
      text === null ||
      (ofMarks !== null && !ofMarks.includes(mark(i))) ||
      !holds(text, role === 'assistant' ? thoughtOf(content).answer : content);
    // Some templates write a turn only while they ask for the next one.
    const last = trained.lastIndexOf(true);
    const prompt = (all: readonly ChatMessage[]) => attempt(() => this.#render(all.slice(0, last), true));
    const missing = (message: ChatMessage, i: number) =>
      lacks(this.text(messages.length), marked, message, i) &&
      (i >= last || lacks(prompt(messages), prompt(marks), message, i));
    return messages.flatMap((message, i) =>
      !trained[i] && message.content.trim() !== '' && missing(message, i) ? [i + 1] : [],
    );
  }

  /** Returns the conversation through answer `i` after the prompt that asks for it. */
  #written(i: number): Written {
    const { messages, variables: own } = this.#conversation;
    const { thought, answer } = this.#partsOf(i);
    const called = (messages[i]!.tool_calls ?? []).flatMap(wordsOf);
    const asked = thought === null ? [] : thinking.filter((name) => !(name in own)).map((name) => ({ ...own, [name]: true }));
    const through = this.text(i + 1);
    let lost: readonly string[] = [];
    let doubled = false;
    for (const variables of [own, ...asked]) {
      const text = variables === own ? through : attempt(() => this.#render(messages.slice(0, i + 1), false, variables));
      const prompt = text === null ? null : this.#prompt(i, variables);
      if (text === null || prompt === null) continue;
      const follows = text.startsWith(prompt) ? this.#inThought(i, prompt, text) : null;
      const behind =
        follows ?? this.#behindPrompt(i, prompt, text, variables) ?? this.#behindHistory(i, prompt, text, variables);
      if (behind === null) continue;
      const plain = behind === text;
      const turn = behind.slice(prompt.length);
      const before = () => this.#place(i, variables)?.before ?? null;
      if (thought !== null && this.#thoughtField(i) === null) {
        const written = before();
        if (written !== null && closedThought.test(written) && behind.startsWith(written)) {
          doubled = true;
          continue;
        }
      }
      const lostOf = (said: string): readonly string[] => [
        ...(turn.includes((thought ?? '').trim()) ? [] : ['thinks']),
        ...(holds(turn, `${thought ?? ''}\n${said}`) || (thought !== null && !turn.includes(thought.trim())) ? [] : ['says']),
        ...(called.every((word) => holds(turn, word) || holds(turn, inAscii(word))) ? [] : ['calls']),
      ];
      lost = lostOf(answer);
      if (lost.includes('says') && thought === null) {
        // The prompt may have the words with which such answers begin.
        const begun = prompt.slice(before()?.length ?? prompt.length);
        if (begun !== '' && answer.startsWith(begun)) lost = lostOf(answer.slice(begun.length));
      }
      if (lost.length === 0) return { text: behind, start: prompt.length, plain, variables };
    }
    if (doubled)
      throw new Problem(
        'data-invalid',
        `the chat template writes a thought of its own before the one in message ${i + 1}.`,
        'Use variables or a template that take the thought from the content, or leave the thought out.',
      );
    if (lost.length > 0)
      throw new Problem(
        'data-invalid',
        `the chat template leaves out what message ${i + 1} ${lost.join(' and ')}, which is to be trained.`,
        lost.includes('calls')
          ? 'Some templates write the id of a call in place of its name: give it the ids that the model writes, or say in the row that this turn is not trained.'
          : 'Write the answer so that the template takes it, or say in the row that this turn is not trained.',
      );
    const asks = this.#prompt(i, own)?.slice(this.#place(i, own)?.before.length ?? Infinity) ?? '';
    throw new Problem(
      'data-invalid',
      `the chat template writes message ${i + 1} so that it does not follow its own prompt for an answer${asks === '' ? '' : `, which ends with ${JSON.stringify(asks.slice(-80))}`}.`,
      thought === null
        ? 'What the model has to write there cannot be told. Another template, or variables for it, may fit these answers.'
        : 'The answer has a thought: choose thinking on, or variables that ask the template for one, or leave the thought out.',
    );
  }

  /** Returns the text that asks for answer `i`, or null where the template does not show it. */
  #prompt(i: number, variables: TemplateVariables): string | null {
    const before = this.#conversation.messages.slice(0, i);
    const asked = i === 0 ? null : attempt(() => this.#render(before, true, variables));
    if (asked !== null) return asked;
    // Templates do not ask for an answer where nobody has spoken. The prompt is then the header before the answer, as it is
    // asked for elsewhere.
    const elsewhere = (add: boolean) =>
      attempt(() => this.#render([{ role: 'user', content: mark(0) }], add, variables))
        ?.split(mark(0))
        .at(-1);
    const [open, closed] = [elsewhere(true), elsewhere(false)];
    const place = this.#place(i, variables);
    if (open === undefined || closed === undefined || place === null) return null;
    let shared = 0;
    while (shared < open.length && open[shared] === closed[shared]) shared++;
    const header = open.slice(shared);
    const at = headOf(header) === '' ? -1 : place.before.lastIndexOf(headOf(header));
    const earlier = i === 0 ? null : attempt(() => this.text(i));
    return at < 0 || (earlier !== null && at < earlier.trimEnd().length) ? null : place.before.slice(0, at) + header;
  }

  /**
   * Returns the text of answer `i` where it begins with its prompt. If the prompt opens a thought, the answer continues in it
   * and closes it.
   */
  #inThought(i: number, prompt: string, text: string): string {
    const opened = openedThought.exec(prompt);
    if (opened === null) return text;
    const [open, close] = [`<${opened[1]}>`, `</${opened[1]}>`];
    const turn = text.slice(prompt.length);
    if (turn.trimStart().startsWith(open)) return prompt + turn.trimStart().slice(open.length).trimStart();
    if (turn.includes(close) || this.#partsOf(i).thought !== null) return text;
    return prompt + (prompt.endsWith('\n') ? `\n${close}\n\n` : close) + turn.trimStart();
  }

  /**
   * Returns answer `i` after a prompt whose history differs from that in the text, because the model sees the prompt's history.
   */
  #behindHistory(i: number, prompt: string, text: string, variables: TemplateVariables): string | null {
    if (i === 0) return null;
    const { messages } = this.#conversation;
    const before = [...messages.slice(0, i - 1), { ...messages[i - 1]!, content: mark(i - 1) }];
    const asked = attempt(() => this.#render(before, true, variables))?.split(mark(i - 1));
    const answered = attempt(() => this.#render([...before, { ...messages[i]!, content: mark(i) }], false, variables));
    const place = this.#place(i, variables);
    if (asked?.length !== 2 || answered === null || place === null || !text.startsWith(place.before)) return null;
    const from = answered.lastIndexOf(mark(i - 1)) + mark(i - 1).length;
    const lead = answered.includes(mark(i - 1))
      ? cutLoosely(answered.slice(from, answered.lastIndexOf(mark(i))), asked[1]!)
      : null;
    return lead === null ? null : prompt + lead + text.slice(place.before.length);
  }

  /**
   * Returns answer `i` appended to a prompt that the template's own text does not begin with, or null where it cannot be
   * determined.
   */
  #behindPrompt(i: number, prompt: string, text: string, variables: TemplateVariables): string | null {
    const head = headOf(prompt);
    const rest = text.startsWith(head) ? text.slice(head.length).trimStart() : null;
    const empty = emptyThought.exec(prompt);
    const opened = empty === null ? openedThought.exec(prompt) : null;
    if (rest === null) return empty === null && opened === null ? this.#behindHeader(i, prompt, text, variables) : null;
    if (empty === null && opened === null) return prompt + rest;
    const { thought, answer } = this.#partsOf(i);
    const tag = (empty ?? opened!)[1]!;
    const [open, close] = [`<${tag}>`, `</${tag}>`];
    if (empty !== null) return thought === null ? prompt + (rest.startsWith(close) ? rest.slice(close.length) : rest) : null;
    // The template writes the thought, and differs from its prompt in white space only.
    if (rest.startsWith(open)) return prompt + rest.slice(open.length).trimStart();
    if (thought === null) {
      const nothing = prompt.endsWith('\n') ? `\n${close}\n\n` : close;
      return prompt + (rest.startsWith(close) ? rest : nothing + rest);
    }
    const said = thought.trimStart() + close;
    if (this.#conversation.messages[i]!.tool_calls !== undefined)
      return prompt + said + (rest.startsWith(close) ? rest.slice(close.length) : rest);
    const place = this.#place(i, variables);
    return place === null ? null : prompt + said + answer + place.after;
  }

  /**
   * Returns answer `i` appended to a prompt with a header that the template leaves out before the answer, or null where it
   * cannot be determined.
   */
  #behindHeader(i: number, prompt: string, text: string, variables: TemplateVariables): string | null {
    const before = this.#place(i, variables)?.before ?? null;
    if (before !== null && prompt.startsWith(before) && text.startsWith(before))
      return tagsAlone.test(prompt.slice(before.length)) ? prompt + text.slice(before.length) : null;
    // The prompt has words that lead into a thought, and turns have the thought without them.
    const header = this.#place(i, variables, 'reasoning_content')?.before ?? null;
    if (header === null || !prompt.startsWith(header) || !text.startsWith(header)) return null;
    return prompt + text.slice(header.length);
  }

  /** Returns the thought and the content of answer `i`, wherever the template reads its thought. */
  #partsOf(i: number): ReturnType<typeof thoughtOf> {
    const { content } = this.#conversation.messages[i]!;
    const thought = this.#thoughtField(i);
    return thought === null ? thoughtOf(content) : { thought, answer: content };
  }

  /** Returns the thought of answer `i` where it is stored beside the content. */
  #thoughtField(i: number): string | null {
    return this.#conversation.messages[i]!.reasoning_content ?? null;
  }

  /**
   * Returns what the template writes before and after the content of message `i` when it is the last, or null where it leaves
   * the content out.
   */
  #place(
    i: number,
    variables: TemplateVariables,
    field: 'content' | 'reasoning_content' = 'content',
  ): { readonly before: string; readonly after: string } | null {
    const before = this.#conversation.messages.slice(0, i);
    if (field === 'reasoning_content' && this.#thoughtField(i) === null) return null;
    const message = { ...this.#conversation.messages[i]!, [field]: mark(i) };
    const text = attempt(() => this.#render([...before, message], false, variables));
    const at = text?.lastIndexOf(mark(i)) ?? -1;
    return text === null || at < 0 ? null : { before: text.slice(0, at), after: text.slice(at + mark(i).length) };
  }

  /** Returns the turn with the end token that begins the next turn, or null where the next turn begins with something else. */
  #closedByNext(i: number, { text, start, variables }: Written): Closed | null {
    const { messages } = this.#conversation;
    const role = messages[i]!.tool_calls === undefined ? 'user' : 'tool';
    const next = messages[i + 1] ?? { role };
    const marked = [...messages.slice(0, i), { ...messages[i]!, content: mark(i) }, { ...next, content: mark(i + 1) }];
    const place = this.#place(i, variables);
    const rendered = attempt(() => this.#render(marked, false, variables));
    if (place === null || rendered === null) return null;
    const between = rendered.slice(rendered.lastIndexOf(mark(i)) + mark(i).length, rendered.lastIndexOf(mark(i + 1)));
    const tail = place.after.trimEnd();
    if (!between.startsWith(tail)) return null;
    const blank = /^\s*/.exec(between.slice(tail.length))![0];
    const token = this.#ends.startOf(between.slice(tail.length + blank.length));
    if (token === null) return null;
    const turn = text.slice(0, start + text.slice(start).trimEnd().length);
    const closed = turn + blank + token;
    return { text: closed, tail: turn.length, end: closed.length };
  }

  /**
   * Throws a `Problem` where the template writes more after the end of answer `i`, for example by asking for the next answer
   * unasked.
   */
  #requireNothingBehind(i: number, variables: TemplateVariables): void {
    const place = this.#place(i, variables);
    if (place === null) return;
    const [before, after] = [place.before.trimEnd(), place.after.trimEnd()];
    let shared = 0;
    while (shared < after.length && after.at(-shared - 1) === before.at(-shared - 1)) shared++;
    // Closing tags such as </assistant> have the same ending as opening ones, from a letter on.
    const asksAgain = /^\P{L}.*\p{L}/su.test(after.slice(after.length - shared));
    const ended = Array.from(after, (_, at) => this.#ends.startOf(after.slice(at))).some((token) => token !== null);
    if (!asksAgain && !ended) return;
    throw new Problem(
      'template-failed',
      `the chat template goes on behind the end of message ${i + 1} with ${JSON.stringify(after.slice(-80))}, which the model would learn to write.`,
      'Use a template that asks for an answer only where add_generation_prompt is true, and ends with the end of the answer.',
    );
  }

  #render(messages: readonly ChatMessage[], addGenerationPrompt: boolean, variables = this.#conversation.variables): string {
    return this.#template.render(messages.map(this.#conversation.write), { addGenerationPrompt, variables });
  }
}
