/** Finds the answers in a rendered conversation: the prompt of each, its text, and the token that ends it. */
import type { ChatMessage } from '../contract.ts';
import { Problem } from '../problem.ts';
import { wordsOf } from './calls.ts';
import type { EndTokens } from './end-tokens.ts';
import { attempt, mark, markedCall, type TemplateInputs, type ThoughtAndAnswer } from './template-inputs.ts';
import type { ChatTemplate, TemplateVariables } from './template.ts';

/** Marks a range `[start, end)` of characters in a text. */
export interface Span {
  readonly start: number;
  readonly end: number;
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

/** Holds one answer as the template writes it after the prompt that asks for it. */
export interface Turn {
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

/** Renders a conversation, and finds where each answer begins and ends in its text. */
export class TurnRenderer {
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
    const lacks = (text: string | null, ofMarks: string | null, message: ChatMessage, i: number) =>
      text === null ||
      (ofMarks !== null && !ofMarks.includes(mark(i))) ||
      !holds(text, message.role === 'assistant' ? this.#conversation.partsOf(message).answer : message.content);
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
      const follows = text.startsWith(prompt) ? this.#inThought(i, prompt, text, variables) : null;
      const found =
        follows ?? this.#behindPrompt(i, prompt, text, variables) ?? this.#behindHistory(i, prompt, text, variables);
      if (found === null) continue;
      const behind = this.#withThought(i, prompt, found, variables);
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
          ? 'Some templates write only the first call of a turn, or the id of a call in place of its name: write each call as a turn of its own, give it the id that the model writes, or say in the row that this turn is not trained.'
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
  #inThought(i: number, prompt: string, text: string, variables: TemplateVariables): string {
    const opened = openedThought.exec(prompt);
    if (opened === null) return text;
    const [open, close] = [`<${opened[1]}>`, `</${opened[1]}>`];
    const turn = text.slice(prompt.length);
    if (turn.trimStart().startsWith(open)) return prompt + turn.trimStart().slice(open.length).trimStart();
    if (turn.includes(close) || this.#partsOf(i).thought !== null) return text;
    return prompt + (prompt.endsWith('\n') ? `\n${close}\n\n` : close) + this.#behind(i, prompt, text, variables);
  }

  /**
   * Returns answer `i` after a prompt whose history differs from that in the text, because the model sees the prompt's history.
   */
  #behindHistory(i: number, prompt: string, text: string, variables: TemplateVariables): string | null {
    if (i === 0) return null;
    const { messages } = this.#conversation;
    const last = mark(i - 1);
    const before = [...messages.slice(0, i - 1), { ...messages[i - 1]!, content: last }];
    const behindLast = (render: () => string) => {
      const [, ...behind] = attempt(render)?.split(last) ?? [];
      return behind.at(-1) ?? null;
    };
    const asked = behindLast(() => this.#render(before, true, variables));
    const closed = behindLast(() => this.#render(before, false, variables));
    const answered = behindLast(() => this.#render([...before, messages[i]!], false, variables));
    if (asked === null || answered === null) return null;
    // Some templates end a message in another way where an answer follows: then the answer begins behind its header.
    const header = closed !== null && asked.startsWith(closed) ? asked.slice(closed.length) : '';
    const answer = cutLoosely(answered, asked) ?? (header.trim() === '' ? null : cutLoosely(answered, header));
    return answer !== null && text.endsWith(answer) ? prompt + answer : null;
  }

  /**
   * Returns a text with the thought of answer `i` where the template writes thoughts before calls only and leaves this one out
   * (Gemma 4), or writes an empty one in its place (Kimi K2). The thought is written as before a call.
   */
  #withThought(i: number, prompt: string, text: string, variables: TemplateVariables): string {
    const thought = this.#thoughtField(i);
    const turn = text.slice(prompt.length);
    if (thought === null || turn.includes(thought.trim())) return text;
    const before = this.#conversation.messages.slice(0, i);
    const calling: ChatMessage = { role: 'assistant', content: mark(5), tool_calls: [markedCall] };
    const call = (more: Partial<ChatMessage>) => {
      const called = attempt(() => this.#render([...before, { ...calling, ...more }], false, variables));
      return called?.startsWith(prompt) === true ? called.slice(prompt.length) : null;
    };
    const without = call({});
    // The call has the marks 1 to 3.
    const [open, after, ...more] = call({ reasoning_content: mark(4) })?.split(mark(4)) ?? [];
    if (without === null || open === undefined || after === undefined || more.length > 0) return text;
    if (without === open + after) return turn.startsWith(open) ? prompt + open + thought + turn.slice(open.length) : text;
    if (!after.endsWith(without)) return text;
    return prompt + open + thought + after.slice(0, after.length - without.length) + turn;
  }

  /**
   * Returns answer `i` appended to a prompt that the template's own text does not begin with, or null where it cannot be
   * determined.
   */
  #behindPrompt(i: number, prompt: string, text: string, variables: TemplateVariables): string | null {
    const head = headOf(prompt);
    const rest = text.startsWith(head) ? this.#behind(i, head, text, variables) : null;
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

  /** Returns what follows a beginning of the text, without white space that is the template's and not the answer's. */
  #behind(i: number, beginning: string, text: string, variables: TemplateVariables): string {
    const before = this.#conversation.messages[i]!.content === '' ? null : (this.#place(i, variables)?.before ?? null);
    const isBlank = before?.startsWith(beginning) === true && before.slice(beginning.length).trim() === '';
    return isBlank && text.startsWith(before) ? text.slice(before.length) : text.slice(beginning.length).trimStart();
  }

  /** Returns the thought and the text of answer `i`, wherever the template reads its thought. */
  #partsOf(i: number): ThoughtAndAnswer {
    return this.#conversation.partsOf(this.#conversation.messages[i]!);
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
    // Some templates write calls only where there is no content, so the place of a content says nothing of their end.
    const called = (this.#conversation.messages[i]!.tool_calls ?? []).flatMap(wordsOf);
    if (!called.every((word) => holds(place.before + place.after, word))) return;
    const [before, after] = [place.before.trimEnd(), place.after.trimEnd()];
    let shared = 0;
    while (shared < after.length && after.at(-shared - 1) === before.at(-shared - 1)) shared++;
    // Closing tags such as </assistant> have the same ending as opening ones, from a letter on; so do <|inner_suffix|> and <|tools_suffix|>.
    const asksAgain = /^[^\p{L}_].*\p{L}/su.test(after.slice(after.length - shared));
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
