/**
 * Finds out what a chat template reads of a conversation by rendering marks and looking where they appear: in which field it
 * reads a thought, how it expects calls and their arguments, whether it writes tools, developer and system turns, and which of
 * its variables ask for a thought.
 */
import type { ChatMessage, ToolCall } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import { argumentsOf, hermesCalls, hermesResult } from './calls.ts';
import type { Conversation } from './content.ts';
import type { ChatTemplate, TemplateMessage, TemplateVariables } from './template.ts';

/** Holds a conversation in the fields that a template reads. */
export interface TemplateInputs {
  /**
   * Holds the messages with a thought in `reasoning_content` where the template reads one apart from the text, or cuts it out of
   * the text, and otherwise in the content.
   */
  readonly messages: readonly ChatMessage[];
  readonly trained: readonly boolean[];
  readonly variables: TemplateVariables;
  /** Returns the thought of an answer, or null where it has none, and the text behind it. */
  partsOf(message: ChatMessage): ThoughtAndAnswer;
  /** Returns a message in the fields that the template reads. */
  write(message: ChatMessage): TemplateMessage;
}

/**
 * Returns a placeholder text that shows where it appears in a rendering. It consists of digits, which no template trims,
 * escapes or tests for.
 */
export const mark = (i: number): string => `271828${i}182845904523536`;

/** Returns what is rendered, or null where the template refuses. Throws the `Problem` of a template that cannot be read at all. */
export function attempt(render: () => string): string | null {
  try {
    return render();
  } catch (error) {
    if (error instanceof Problem && error.code !== 'template-unsupported') return null;
    throw error;
  }
}

/**
 * Returns a conversation as the template reads it. Throws a `Problem` for tools, calls or thoughts that the template does not
 * write.
 */
export function inputsOf(
  template: ChatTemplate,
  row: Conversation,
  { foldSystem }: Pick<RowSettings, 'foldSystem'>,
): TemplateInputs {
  const { variables: own, tools } = row;
  const variables = tools === undefined ? own : { ...own, tools };
  const kept = foldSystem ? folded(template, withDeveloper(template, row), variables) : withDeveloper(template, row);
  const written = withResults(template, withThoughts(template, kept.messages, own));
  const called = withCalls(written, tools);
  const place = called.some(hasThought) ? placeOfThought(template, own) : null;
  const fields = { place, typed: readsParts(template), variables };
  const form = called.some(hasCalls) ? callForm(template, called, fields) : usualForm;
  if (form === null && written.some(hasCalls)) throw withoutCalls(template, written, fields);
  // Calls that stand in texts stay there where the template writes calls in no other way.
  const messages = form === null ? written : called;
  const write = writer(fields, form ?? usualForm);
  if (tools !== undefined) requireTools(template, messages.map(write), variables);
  const isOpened = () => readsOpenedThought(template, own);
  return { messages, trained: kept.trained, variables, write, partsOf: (message) => partsOf(message, place, isOpened) };
}

// ── Roles ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Returns a conversation whose developer turns are system turns, their older name, where the template does not write them. */
function withDeveloper(template: ChatTemplate, row: Conversation): Conversation {
  if (!row.messages.some(({ role }) => role === 'developer')) return row;
  const isWritten = remembered(template, 'developer', () => {
    const asked = [
      { role: 'developer', content: mark(0) },
      { role: 'user', content: mark(1) },
    ];
    return attempt(() => template.render(asked, { addGenerationPrompt: false }))?.includes(mark(0)) === true;
  });
  if (isWritten) return row;
  const messages = row.messages.map((message): ChatMessage => ({
    ...message,
    role: message.role === 'developer' ? 'system' : message.role,
  }));
  return { ...row, messages };
}

/**
 * Returns a conversation in which system turns that the template refuses or leaves out are prepended to the user turns after
 * them.
 */
function folded(template: ChatTemplate, row: Conversation, variables: TemplateVariables): Conversation {
  const isSystem = ({ role }: ChatMessage): boolean => role === 'system';
  if (!row.messages.some(isSystem)) return row;
  const marked = row.messages.map((message, i) => (isSystem(message) ? { ...message, content: mark(i) } : message));
  const write = writer({ place: null, typed: readsParts(template) }, usualForm);
  const text = attempt(() => template.render(marked.map(write), { addGenerationPrompt: false, variables }));
  const messages: ChatMessage[] = [];
  const trained: boolean[] = [];
  let before = '';
  for (const [i, message] of row.messages.entries()) {
    if (isSystem(message) && text?.includes(mark(i)) !== true) {
      before += `${message.content}\n\n`;
      continue;
    }
    const takes = message.role === 'user' && before !== '';
    messages.push(takes ? { ...message, content: before + message.content } : message);
    trained.push(row.trained[i]!);
    if (takes) before = '';
  }
  // After the last user turn there is no turn to prepend it to.
  return before === '' ? { ...row, messages, trained } : row;
}

// ── Thoughts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Holds the thought of an answer, or null where it has none, and the text behind it. */
export interface ThoughtAndAnswer {
  readonly thought: string | null;
  readonly answer: string;
}

/**
 * Splits a content into the thought at its beginning and the answer. Unless `isOpened` says that the thought may be open before
 * the content, it begins with its tag: an answer may name the tag that ends a thought without having one.
 */
function thoughtOf(content: string, isOpened: () => boolean): ThoughtAndAnswer {
  const begin = /^\s*<think>/.exec(content)?.[0].length ?? (content.includes('</think>') && isOpened() ? 0 : null);
  const found = begin === null ? null : /^([\s\S]*?)<\/think>/.exec(content.slice(begin));
  return { thought: found?.[1] ?? null, answer: found === null ? content : content.slice(begin! + found[0].length) };
}

/** Splits an answer whose thought may be apart from its content. A thought that the template cuts out ends as in a text. */
function partsOf(
  { content, reasoning_content: thought }: ChatMessage,
  place: ThoughtPlace | null,
  isOpened: () => boolean,
): ThoughtAndAnswer {
  if (thought === undefined) return thoughtOf(content, isOpened);
  if (place === null || !('tags' in place)) return { thought, answer: content };
  const [before, said, after] = place.tags.around;
  return { thought: before + thought.trim() + said, answer: after + content };
}

/** Says where a template reads the thought of an answer. */
type ThoughtPlace =
  /** A field of the message beside its content. */
  | { readonly field: string }
  /** A content that is not a text: this function makes it of a thought and a text. */
  | { readonly content: ThoughtContent }
  /** The text itself. `cut` is true where the template takes the thought out of every text, so that only the prompt shows its tags. */
  | { readonly tags: ThoughtTags; readonly cut: boolean };

type ThoughtContent = (thought: string | undefined, text: string) => TemplateMessage['content'];

/** Holds the tags around a thought in a text, and the white space behind the first, before the second and behind the second. */
interface ThoughtTags {
  readonly open: string;
  readonly close: string;
  readonly around: readonly [string, string, string];
}

/** Lists the fields in which templates read the thought of an answer. */
const thoughtFields = ['reasoning_content', 'reasoning', 'thinking'];

/** Lists the contents in which templates read thoughts: a list of parts (Ministral 3, Magistral), or of blocks (Apertus). */
const thoughtContents: readonly ((type?: string) => ThoughtContent)[] = [
  (type = 'thinking') =>
    (thought, text) => [
      ...(thought === undefined ? [] : [{ type, thinking: thought }]),
      ...(text === '' && thought !== undefined ? [] : [{ type: 'text', text }]),
    ],
  (type = 'thoughts') =>
    (thought, text) => ({
      blocks: [
        ...(thought === undefined ? [] : [{ type, text: thought }]),
        ...(text === '' && thought !== undefined ? [] : [{ type: 'response', text }]),
      ],
    }),
];

/** Matches the tags of thoughts in the source of a template. */
const tagsInSource = /<\/?([\w:]*(?:think|thought|reasoning)[\w:]*)>|\[\/?(\w*THINK\w*)\]/;

/** Returns the tags of thoughts that a template names, or null where it names none. */
function tagsOf({ source }: ChatTemplate): ThoughtTags | null {
  const [found, angled, squared] = tagsInSource.exec(source) ?? [];
  if (found === undefined) return null;
  if (squared !== undefined) return { open: `[${squared}]`, close: `[/${squared}]`, around: ['', '', ''] };
  return { open: `<${angled}>`, close: `</${angled}>`, around: ['\n', '\n', '\n\n'] };
}

function inTags(thought: string, text: string, { open, close, around: [first, second, third] }: ThoughtTags): string {
  return open + first + thought.trim() + second + close + third + text;
}

/** Returns where the template reads the thought of the last answer, or null where it reads none. */
function placeOfThought(template: ChatTemplate, variables: TemplateVariables): ThoughtPlace | null {
  return remembered(template, `place ${JSON.stringify(variables)}`, () => {
    const field = fieldOfThought(template, variables);
    if (field !== null) return { field };
    const shows = (content: TemplateMessage['content'], more: TemplateVariables = {}) =>
      probe(template, content, {}, { ...variables, ...more })?.includes(mark(0)) === true;
    // A template that prints any content as it is does not read the types in it.
    const reads = (write: (type?: string) => ThoughtContent, more?: TemplateVariables) =>
      shows(write()(mark(0), mark(1)), more) && !shows(write(mark(2))(mark(0), mark(1)), more);
    const content = thoughtContents.find((write) => reads(write) || reads(write, asking));
    if (content !== undefined) return { content: content() };
    const tags = tagsOf(template);
    if (tags === null) return null;
    const text = inTags(mark(0), mark(1), tags);
    return { tags, cut: !shows(text) && !shows(text, asking) };
  });
}

/** Returns the field in which the template reads the thought of the last answer, or null where it reads none. */
function fieldOfThought(template: ChatTemplate, variables: TemplateVariables): string | null {
  return remembered(template, `field ${JSON.stringify(variables)}`, () => {
    const named = thoughtFields.filter((name) => template.source.includes(name));
    const reads = (name: string, more: TemplateVariables = {}, calls: object = {}) =>
      probe(template, mark(1), { ...calls, [name]: mark(0) }, { ...variables, ...more })?.includes(mark(0)) === true;
    // Some templates write a thought only before a call.
    const call = { tool_calls: [markedCall] };
    return named.find((name) => reads(name) || reads(name, asking) || reads(name, asking, call)) ?? null;
  });
}

/** A call of marks. Mistral accepts only ids of this length. */
export const markedCall: ToolCall = {
  ...{ id: 'abcde1234', type: 'function' },
  function: { name: mark(1), arguments: { [mark(2)]: mark(3) } },
};

const asking: TemplateVariables = { enable_thinking: true, thinking: true };

/** Renders a last answer as the template writes it, or returns null where it refuses. */
function probe(
  template: ChatTemplate,
  content: TemplateMessage['content'],
  fields: Readonly<Record<string, unknown>>,
  variables: TemplateVariables,
): string | null {
  const asked = [
    { role: 'user', content: '1' },
    { ...fields, role: 'assistant', content },
  ];
  return attempt(() => template.render(asked, { addGenerationPrompt: false, variables }));
}

/** Returns the messages with their thoughts where the template reads them. */
function withThoughts(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  variables: TemplateVariables,
): readonly ChatMessage[] {
  const isOpened = () => readsOpenedThought(template, variables);
  const inContent = ({ role, content }: ChatMessage) => role === 'assistant' && thoughtOf(content, isOpened).thought !== null;
  if (!messages.some((message) => hasThought(message) || inContent(message))) return messages;
  const place = placeOfThought(template, variables);
  const isBeside = place !== null && 'field' in place;
  const doubles = isBeside && messages.some(inContent) && writesSecondThought(template, variables);
  return messages.map((message, i): ChatMessage => {
    const { reasoning_content: beside, ...rest } = message;
    if (beside === undefined && doubles && inContent(message)) {
      const { thought, answer } = thoughtOf(message.content, isOpened);
      return { ...message, content: answer.trimStart(), reasoning_content: thought!.trim() };
    }
    if (beside === undefined) return message;
    if (place === null)
      throw new Problem(
        'format-unsupported',
        `message ${i + 1} has a thought beside its content, and the model's chat template writes no thoughts.`,
        'Write it into the content with the tags that the model is to learn, such as <think> and </think>, or remove it.',
      );
    return 'tags' in place && !place.cut ? { ...rest, content: inTags(beside, message.content, place.tags) } : message;
  });
}

/**
 * Returns whether a content without the tag that opens a thought may begin with one: the prompt opens it, or the template takes
 * what stands before the tag that ends it for one.
 */
function readsOpenedThought(template: ChatTemplate, variables: TemplateVariables): boolean {
  return remembered(template, `opened ${JSON.stringify(variables)}`, () => {
    const question = [{ role: 'user', content: mark(0) }];
    const opens = (given: TemplateVariables) =>
      /<think>\s*$/.test(attempt(() => template.render(question, { addGenerationPrompt: true, variables: given })) ?? '');
    const reads = (given: TemplateVariables) =>
      new RegExp(`<think>\\s*${mark(0)}`).test(probe(template, `${mark(0)}\n</think>\n\n${mark(1)}`, {}, given) ?? '');
    return [variables, { ...asking, ...variables }].some((given) => opens(given) || reads(given));
  });
}

/** Returns whether the template would write a thought of its own before a content that begins with one. */
function writesSecondThought(template: ChatTemplate, variables: TemplateVariables): boolean {
  return remembered(template, `second ${JSON.stringify(variables)}`, () => {
    const text = probe(template, `<think>\n${mark(0)}\n</think>\n\n${mark(1)}`, {}, variables);
    const [before, twice] = text?.split(new RegExp(`<think>(?=\\s*${mark(0)})`)) ?? [];
    return before !== undefined && twice !== undefined && /<\/think>\s*$/.test(before);
  });
}

/**
 * Returns the variables with which the template asks for answers with a thought, or without one. Throws a `Problem` where it
 * has no such variable and does the opposite.
 */
export function thinkingVariables(template: ChatTemplate, thinking: 'on' | 'off'): TemplateVariables {
  return remembered(template, `thinking ${thinking}`, () => {
    const wanted = thinking === 'on';
    const names = ['enable_thinking', 'thinking'].filter((name) => new RegExp(`\\b${name}\\b`).test(template.source));
    const switched = (on: boolean): TemplateVariables => Object.fromEntries(names.map((name) => [name, on]));
    const effort = (on: boolean): TemplateVariables => ({ reasoning_effort: on ? 'high' : 'none' });
    const asks = (variables: TemplateVariables) =>
      attempt(() => template.render([{ role: 'user', content: mark(0) }], { addGenerationPrompt: true, variables }));
    const tells = (of: (on: boolean) => TemplateVariables) => {
      const [on, off] = [asks(of(true)), asks(of(false))];
      return on !== null && off !== null && on !== off;
    };
    if (names.length > 0 && tells(switched)) return switched(wanted);
    if (/\breasoning_effort\b/.test(template.source) && /(['"])none\1/.test(template.source) && tells(effort))
      return effort(wanted);
    const place = placeOfThought(template, {});
    const thinks = /<(\w+)>\s*$/.test(asks({}) ?? '') || (place !== null && !('tags' in place));
    if (thinks === wanted) return {};
    throw new Problem(
      'template-failed',
      `the model's chat template has no switch that turns thoughts ${thinking}.`,
      `Choose thinking 'row', which asks as the template does by itself.`,
    );
  });
}

/** Returns whether the template has a switch that turns thoughts on and off. */
export function switchesThinking(template: ChatTemplate): boolean {
  try {
    return Object.keys(thinkingVariables(template, 'on')).length > 0;
  } catch (error) {
    if (error instanceof Problem) return false;
    throw error;
  }
}

// ── Tools ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Says how a template expects a call: arguments as an object or as JSON, and the content of a turn that only calls. */
interface CallForm {
  readonly objects: boolean;
  readonly content: '' | null;
}
const usualForm: CallForm = { objects: true, content: null };
const callForms: readonly CallForm[] = [
  usualForm,
  { objects: true, content: '' },
  { objects: false, content: null },
  { objects: false, content: '' },
];

function hasThought({ reasoning_content: thought }: ChatMessage): boolean {
  return thought !== undefined;
}

function hasCalls({ tool_calls: calls }: ChatMessage): boolean {
  return calls !== undefined;
}

/** Returns a function that writes messages in the fields of a template that reads thoughts and calls in these ways. */
function writer({ place, typed }: Fields, { objects, content: silent }: CallForm): (message: ChatMessage) => TemplateMessage {
  const textOf = (text: string) => (typed ? [{ type: 'text', text }] : text);
  return ({ reasoning_content: thought, tool_calls: calls, content, ...message }) => {
    const isSilent = calls !== undefined && content === '';
    const isApart =
      place !== null && 'content' in place && message.role === 'assistant' && !(isSilent && thought === undefined);
    return {
      ...message,
      content: isApart ? place.content(thought, content) : isSilent && silent === null ? null : textOf(content),
      ...(thought !== undefined && place !== null && 'field' in place ? { [place.field]: thought } : {}),
      ...(calls === undefined ? {} : { tool_calls: calls.map((call) => inForm(call, objects)) }),
    };
  };
}

/** Says where a template reads thoughts, with null where there are none to read, and whether it reads contents only as lists of parts. */
interface Fields {
  readonly place: ThoughtPlace | null;
  readonly typed: boolean;
}

/** Returns whether the template accepts only lists of parts as content, as those of multimodal models do. */
function readsParts(template: ChatTemplate): boolean {
  return remembered(template, 'parts', () => {
    const writes = (content: TemplateMessage['content']) =>
      attempt(() => template.render([{ role: 'user', content }], { addGenerationPrompt: false }))?.includes(mark(0)) === true;
    return !writes(mark(0)) && writes([{ type: 'text', text: mark(0) }]);
  });
}

function inForm(call: ToolCall, objects: boolean): ToolCall {
  const { name, arguments: given } = call.function;
  if (!objects) return { ...call, function: { name, arguments: typeof given === 'string' ? given : JSON.stringify(given) } };
  const args = argumentsOf(call);
  return args === null ? call : { ...call, function: { name, arguments: args } };
}

/** Returns the form in which the template writes calls, or null where it writes them in none. */
function callForm(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  { variables, ...fields }: Fields & { readonly variables: TemplateVariables },
): CallForm | null {
  const broken = messages.findIndex(({ tool_calls: calls }) => calls?.some((call) => argumentsOf(call) === null) === true);
  if (broken >= 0)
    throw new Problem(
      'data-invalid',
      `message ${broken + 1} has a call whose arguments are not the JSON of an object.`,
      'Write them as the tool takes them, or leave the row out.',
    );
  const known = callFormOf.get(template);
  if (known !== undefined) return known;
  const at = messages.findLastIndex(hasCalls);
  const before = messages.slice(0, at).filter((message) => !hasCalls(message) && message.role !== 'tool');
  const asked = [...before, { ...messages[at]!, tool_calls: [markedCall] }];
  const answered = [...asked, { role: 'tool', content: mark(4), tool_call_id: markedCall.id!, name: mark(1) } as const];
  for (const conversation of [answered, asked])
    for (const form of callForms) {
      const written = conversation.map(writer(fields, form));
      const text = attempt(() => template.render(written, { addGenerationPrompt: false, variables }));
      if (text === null || ![1, 2, 3].every((i) => text.includes(mark(i)))) continue;
      callFormOf.set(template, form);
      return form;
    }
  return null;
}

/** Makes the `Problem` of calls that the template writes in no form. */
function withoutCalls(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  { variables, ...fields }: Fields & { readonly variables: TemplateVariables },
): Problem {
  const render = (form: CallForm) =>
    template.render(messages.map(writer(fields, form)), { addGenerationPrompt: false, variables });
  // Where the template refuses every form, its own message explains it better than ours.
  if (callForms.every((form) => attempt(() => render(form)) === null)) render(usualForm);
  return new Problem(
    'format-unsupported',
    `message ${messages.findLastIndex(hasCalls) + 1} has 'tool_calls': the model's chat template writes no calls of tools.`,
    `Write each call into the content of its message as the model is to write it and remove 'tool_calls', use a model whose chat template writes calls, or leave the row out.`,
  );
}

const callFormOf = new WeakMap<ChatTemplate, CallForm>();

/** Throws a `Problem` where the template writes the same with and without the tools. */
function requireTools(template: ChatTemplate, messages: readonly TemplateMessage[], variables: TemplateVariables): void {
  if (writesTools.has(template)) return;
  const { tools: _, ...without } = variables;
  const text = (given: TemplateVariables) => template.render(messages, { addGenerationPrompt: false, variables: given });
  if (text(variables) === attempt(() => text(without)))
    throw new Problem(
      'format-unsupported',
      `the row has 'tools': the model's chat template does not write them.`,
      `Write them into a system turn and remove 'tools', use a model whose chat template writes them, or leave the row out.`,
    );
  writesTools.add(template);
}

const writesTools = new WeakSet<ChatTemplate>();

/** Returns the messages with the calls that Hermes writes in their contents, unless the tools are defined in a text too. */
function withCalls(messages: readonly ChatMessage[], tools: Conversation['tools']): readonly ChatMessage[] {
  if (tools === undefined) return messages;
  return messages.map((message): ChatMessage => {
    const found = message.role === 'assistant' && !hasCalls(message) ? hermesCalls(message.content) : null;
    return found === null ? message : { ...message, content: found.said, tool_calls: found.calls };
  });
}

/** Returns the messages with tool results taken out of Hermes' tags, where the template adds the same tags. */
function withResults(template: ChatTemplate, messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const isWrapped = ({ role, content }: ChatMessage) => role === 'tool' && hermesResult(content) !== null;
  if (!messages.some(isWrapped)) return messages;
  const wraps = remembered(template, 'results', () => {
    const asked = [
      { role: 'user', content: '1' },
      { role: 'assistant', content: '2' },
      { role: 'tool', content: mark(0) },
    ];
    const text = attempt(() => template.render(asked, { addGenerationPrompt: false }));
    return text !== null && new RegExp(`<tool_response>\\s*${mark(0)}`).test(text);
  });
  return wraps
    ? messages.map((message) => (isWrapped(message) ? { ...message, content: hermesResult(message.content)! } : message))
    : messages;
}

// ── What is found out once ──────────────────────────────────────────────────────────────────────────────────────────────

/** Limits how many answers are kept for each template. Rows may have variables of their own, so there may be many. */
const mostRemembered = 256;
const memory = new WeakMap<ChatTemplate, Map<string, unknown>>();

function remembered<T>(template: ChatTemplate, question: string, find: () => T): T {
  const known = memory.get(template) ?? new Map<string, unknown>();
  memory.set(template, known);
  if (!known.has(question)) {
    if (known.size >= mostRemembered) known.clear();
    known.set(question, find());
  }
  return known.get(question) as T;
}
