/** Reads the content of a row: the format that its keys show, and the conversation or text in it. */
import type { ChatMessage, DataFormat, ToolCall } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import { callsInText, callsOf, nameOf, type ToolDefinition, toolsOf } from './calls.ts';
import {
  checkColumns,
  type ColumnTable,
  type Fields,
  isEmpty,
  isSetForAll,
  isThought,
  askColumns,
  messageColumns,
  partColumns,
  mapOption,
  namedQuestion,
  preferenceProblem,
  questionColumnsOf,
  questionTable,
  rowColumns,
  shareGptColumns,
  thoughtPartColumns,
  thoughtParts,
  templateColumns,
  reasoningColumns,
  trainedColumns,
} from './columns.ts';
import { foreignProblem } from './foreign-shapes.ts';
import { guessOfRow } from './guess-mapping.ts';
import { JsonNumber } from './json-numbers.ts';
import type { Tokenizer } from './tokenizer.ts';
import { mediaParts } from './media.ts';
import { invalid, isMissing, shown, text, textOrNumber, wellFormed, written } from './values.ts';

/** Returns the format that the keys of a row show. Returns null for a preference row, and where the keys show none. */
export function detectFormat(value: Fields): Exclude<DataFormat, 'unknown'> | null {
  const has = (name: string) => value[name] !== undefined && value[name] !== null;
  if (has('input_ids')) return 'tokens';
  if (foreignProblem(value) !== null) return null;
  if (has('messages')) return 'messages';
  if (has('conversations')) return 'sharegpt';
  if (preferenceProblem(value) !== null) return null;
  if (has('instruction') && has('output')) return 'alpaca';
  if (has('prompt') && has('completion'))
    return Array.isArray(value['prompt']) || Array.isArray(value['completion']) ? 'messages' : 'prompt-completion';
  if (has('text')) return 'text';
  return questionColumnsOf(value) === null ? null : 'question-answer';
}

/** Holds a conversation and what the row says about it beside its messages. */
export interface Conversation {
  readonly messages: readonly ChatMessage[];
  /** Says for each message whether it is trained. Only answers of the assistant can be, and not those that the row excludes. */
  readonly trained: readonly boolean[];
  /** Holds the row's variables for the chat template, such as `chat_template_kwargs` and `documents`. */
  readonly variables: Fields;
  /** Lists the tools that the model may call. */
  readonly tools?: readonly ToolDefinition[];
}

/** Content is what will be encoded: a conversation, a prompt with its completion, or text that is trained as a whole. */
export type Content =
  | ({ readonly kind: 'messages' } & Conversation)
  | { readonly kind: 'completion'; readonly prompt: string; readonly completion: string }
  | { readonly kind: 'text'; readonly text: string };

/**
 * Reads the content of a row of text. Refuses columns that change the row and are not supported, and adds the names of columns
 * that nothing was read from to `unused`, such as `id` or `messages[].name`. `promptFormat` decides how a prompt and a
 * completion that are both text are read.
 */
export function contentOf(
  value: Fields,
  format: Exclude<DataFormat, 'tokens' | 'unknown'> | null,
  tokenizer: Tokenizer | null,
  unused: Set<string>,
  promptFormat: RowSettings['promptFormat'] = 'text',
): Content {
  const checkRow = (table: ColumnTable) => checkColumns(value, table, { where: 'the row', path: '' }, unused);
  const conversation = (turns: readonly Turn[]): Content => {
    const all = joinedCalls(withSystem(value, turns));
    if (all.every(({ trained }) => !trained))
      throw new Problem(
        'nothing-to-train',
        'no answer in the row is trained.',
        'A conversation needs a turn of the assistant that is to be learned.',
      );
    const variables = variablesOf(value, tokenizer, unused);
    const messages = all.map(({ message }) => withoutName(message, tokenizer, unused));
    const tools = toolsBeside(value, messages, unused);
    return {
      ...{ kind: 'messages', messages, variables, trained: all.map(({ trained }) => trained) },
      ...(tools === null ? {} : { tools }),
    };
  };
  const isPlain = tokenizer !== null && tokenizer.chatTemplate === null;
  const answered = (question: string, input: string, answer: string): Content => {
    const instruction = textOrNumber(value[question], question);
    const output = written(textOrNumber(value[answer], answer), answer);
    if (isPlain) {
      const system = systemOf(value);
      const before = system === '' ? '' : `${system}\n\n`;
      const given = input === '' ? '' : `### Input:\n${input}\n\n`;
      const prompt = `${before}### Instruction:\n${instruction}\n\n${given}### Response:\n`;
      return { kind: 'completion', prompt, completion: output };
    }
    return conversation(
      withThought(
        [turn('user', input === '' ? instruction : `${instruction}\n\n${input}`), turn('assistant', output)],
        value,
        unused,
      ),
    );
  };
  switch (format) {
    case 'messages':
      if (value['messages'] !== undefined && value['messages'] !== null) {
        checkRow(rowColumns.messages);
        return conversation(turnsOf(value, 'messages', openAi, unused));
      }
      checkRow(rowColumns.turns);
      return conversation(promptAndCompletion(value, unused));
    case 'sharegpt':
      checkRow(rowColumns.sharegpt);
      return conversation(turnsOf(value, 'conversations', shareGpt, unused));
    case 'alpaca': {
      checkRow(isPlain ? rowColumns.alpacaText : rowColumns.alpaca);
      const input = isMissing(value['input']) ? '' : textOrNumber(value['input'], 'input');
      return answered('instruction', input, 'output');
    }
    case 'question-answer': {
      const columns = questionColumnsOf(value)!;
      checkRow(questionTable(columns, isPlain));
      return answered(columns.question, '', columns.answer);
    }
    case 'prompt-completion':
      if (isAsked(promptFormat, tokenizer)) {
        checkRow(rowColumns.turns);
        written(textOrNumber(value['completion'], 'completion'), 'completion');
        return conversation(promptAndCompletion(value, unused));
      }
      checkRow(rowColumns.completion);
      return {
        kind: 'completion',
        prompt: textOrNumber(value['prompt'], 'prompt'),
        completion: written(textOrNumber(value['completion'], 'completion'), 'completion'),
      };
    case 'text':
      checkRow(rowColumns.text);
      return { kind: 'text', text: written(text(value['text'], 'text'), 'text') };
    case null:
      throw foreignProblem(value) ?? preferenceProblem(value) ?? unknownFormat(value);
  }
}

/** Returns whether a prompt and its completion are read as a question and its answer. */
export function isAsked(promptFormat: RowSettings['promptFormat'], tokenizer: Tokenizer | null): boolean {
  return promptFormat === 'chat' && tokenizer !== null && tokenizer.chatTemplate !== null;
}

/** Lists the columns by which a row is recognised. */
const knownColumns = ['messages', 'conversations', 'instruction', 'output', 'prompt', 'completion', 'text', 'input_ids'];

function unknownFormat(value: Fields): Problem {
  const without = nullColumnOf(value);
  if (without !== null) return new Problem('data-invalid', `'${without}' is null.`, `Write its text, or leave the row out.`);
  const guess = guessOfRow(value);
  const names = Object.keys(value).map((key) => `'${key.slice(0, 40)}'`);
  return new Problem(
    'format-unknown',
    `the row has none of the known columns, only ${names.slice(0, 8).join(', ') || 'nothing'}.`,
    guess === null
      ? 'Known are messages, conversations, instruction and output, prompt and completion, question and answer, text, input_ids; a mapping says what others mean.'
      : `To train '${guess.answer}' as the answer to '${guess.question}', say so in a mapping, such as ${mapOption(value, guess)}.`,
  );
}

/**
 * Returns the column of a row of no format by which it would be recognized if that were not null. Returns null where there is
 * none, or where other columns are likely to be the question and the answer.
 */
export function nullColumnOf(value: Fields): string | null {
  const columns = namedQuestion(value);
  const empty = columns === null ? [] : [columns.question, columns.answer].filter((name) => isMissing(value[name]));
  if (empty.length === 1) return empty[0]!;
  const guess = guessOfRow(value);
  const without = empty[0] ?? knownColumns.find((name) => value[name] === null);
  return without !== undefined && (guess === null || knownColumns.includes(guess.question)) ? without : null;
}

// ── Conversations ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A turn is a message and whether it is trained. */
interface Turn {
  readonly message: ChatMessage;
  readonly trained: boolean;
}

function turn(role: ChatMessage['role'], content: string): Turn {
  return { message: { role, content }, trained: role === 'assistant' };
}

/** Joins consecutive calls, and the text before them, into one turn of the assistant. */
function joinedCalls(turns: readonly Turn[]): readonly Turn[] {
  const joined: Turn[] = [];
  for (const next of turns) {
    const last = joined.at(-1);
    const { role, content, tool_calls: calls } = next.message;
    const callsAlone = role === 'assistant' && calls !== undefined && content === '' && Object.keys(next.message).length === 3;
    if (last?.message.role === 'assistant' && callsAlone && last.trained === next.trained)
      joined[joined.length - 1] = {
        ...last,
        message: { ...last.message, tool_calls: [...(last.message.tool_calls ?? []), ...calls] },
      };
    else joined.push(next);
  }
  return joined;
}

/**
 * Returns the tools of a row. Returns null where there are none, or where a system turn already contains their definitions, as
 * Hermes writes them.
 */
function toolsBeside(value: Fields, messages: readonly ChatMessage[], unused: Set<string>): readonly ToolDefinition[] | null {
  const tools = toolsOf(value);
  if (tools === null) return null;
  const names = tools.map(nameOf);
  const isSaid = ({ role, content }: ChatMessage) =>
    role === 'system' && content.includes('<tools>') && names.every((name) => name !== null && content.includes(name));
  if (!messages.some(isSaid)) return tools;
  for (const name of ['tools', 'functions']) if (!isEmpty(value[name])) unused.add(name);
  return null;
}

/** Returns a message without the name of its speaker where the chat template does not read one. */
function withoutName(message: ChatMessage, tokenizer: Tokenizer | null, unused: Set<string>): ChatMessage {
  const { name, ...rest } = message;
  if (name === undefined || message.role === 'tool' || /\bname\b/.test(tokenizer?.chatTemplate ?? '')) return message;
  unused.add('messages[].name');
  return rest;
}

/** Returns the system prompt in the row's columns, or an empty text. */
function systemOf(value: Fields): string {
  const [first, second] = ['system', 'system_prompt'].filter((name) => !isMissing(value[name]) && value[name] !== '');
  if (first === undefined) return '';
  if (second !== undefined && value[first] !== value[second])
    throw invalid(`the row has '${first}' and another text as '${second}'.`, 'Keep one of them.');
  return text(value[first], first);
}

/** Returns the turns with the row's system prompt before them, unless they already begin with it. */
function withSystem(value: Fields, turns: readonly Turn[]): readonly Turn[] {
  const system = systemOf(value);
  if (system === '') return turns;
  const first = turns[0]?.message;
  if (first?.role !== 'system') return [turn('system', system), ...turns];
  if (first.content === system) return turns;
  throw invalid(
    `the row has a 'system' text, and its turns begin with another one.`,
    'Keep one of them, or join both in the first turn.',
  );
}

/** Returns the variables that the row passes to the chat template beside its messages. */
function variablesOf(value: Fields, tokenizer: Tokenizer | null, unused: Set<string>): Fields {
  const given = value['chat_template_kwargs'] ?? {};
  if (typeof given !== 'object' || Array.isArray(given))
    throw invalid(`'chat_template_kwargs' is not an object.`, 'Write it as {"enable_thinking": false}.');
  const documents = isEmpty(value['documents']) ? {} : { documents: value['documents'] };
  if ('documents' in documents && !isEmpty((given as Fields)['documents']))
    throw invalid(`the row has 'documents' and others in 'chat_template_kwargs'.`, 'Keep one of them.');
  const variables = Object.fromEntries(Object.entries({ ...given, ...documents }).filter(([name]) => !isSetForAll(name)));
  const template = tokenizer?.chatTemplate ?? null;
  const words = template === null ? null : new Set(template.match(/\w+/g));
  const known = new Set(Object.keys(variables).filter((name) => words?.has(name) ?? true));
  if (!isEmpty(variables['documents']) && !known.has('documents'))
    throw new Problem(
      'format-unsupported',
      `the row has 'documents', which the model's chat template does not write.`,
      'Write them into the first turn of the user, or remove the column.',
    );
  const place = { where: `'chat_template_kwargs'`, path: 'chat_template_kwargs.' };
  checkColumns(Object.fromEntries(Object.entries(given).filter(([name]) => !known.has(name))), templateColumns, place, unused);
  return variables;
}

/** A dialect is a way to write messages: OpenAI's or ShareGPT's. */
interface Dialect {
  readonly columns: ColumnTable;
  role(message: Fields, where: string): ChatMessage['role'] | 'call';
  content(message: Fields, where: string): unknown;
}

/** Reads the list of messages in the column `name`. */
function turnsOf(value: Fields, name: string, dialect: Dialect, unused: Set<string>): Turn[] {
  const entries = value[name];
  if (!Array.isArray(entries) || entries.length === 0)
    throw invalid(
      `'${name}' is ${Array.isArray(entries) ? 'an empty list' : 'not a list of messages'}.`,
      'A conversation is a list of {"role", "content"}.',
    );
  const first = entries[0] as Fields | null;
  // ShareGPT's turns may stand in any of the columns.
  const isShareGpt = typeof first === 'object' && isMissing(first?.['role']) && !isMissing(first?.['from']);
  const { columns, ...read } = isShareGpt ? shareGpt : dialect;
  return entries.map((entry: unknown, i): Turn => {
    // A row may have two lists of messages, so the message names its column.
    const where = `message ${i + 1}${name === 'prompt' || name === 'completion' ? ` of '${name}'` : ''}`;
    if (typeof entry !== 'object' || entry === null)
      throw invalid(`${where} is not an object.`, 'A message is {"role", "content"}.');
    const fields = entry as Fields;
    checkColumns(fields, columns, { where, path: `${name}[].` }, unused);
    const said = read.role(fields, where);
    const role = said === 'call' ? 'assistant' : said;
    const content = read.content(fields, where);
    const calls = callsOf(fields, where);
    // An answer that calls a tool may be without content.
    const parts = isMissing(content) && calls.length > 0 ? [] : partsOf(content, where);
    for (const { fields: own, isThought } of parts)
      checkColumns(own, isThought ? thoughtPartColumns : partColumns, { where, path: `${name}[].content[].` }, unused);
    const spoken = wellFormed(parts.map((part) => (part.isThought ? '' : part.text)).join(''));
    const thought = thoughtIn(parts, where);
    const message: ChatMessage =
      said === 'call'
        ? { role, content: '', tool_calls: callsInText(spoken, where) }
        : { role, content: spoken, ...besideContent(fields, role, calls, thought, where) };
    if (role !== 'tool' && !isEmpty(fields['tool_call_id'])) unused.add(`${name}[].tool_call_id`);
    if (name !== 'prompt') return { message, trained: isTrained(fields, role, parts, where) };
    // Messages before the completion are never trained, whoever speaks.
    refuseWish(fields, parts, where, 'stands before the completion, which alone is trained');
    return { message, trained: false };
  });
}

/** Reads the fields of a message beside its content. */
function besideContent(
  fields: Fields,
  role: ChatMessage['role'],
  calls: readonly ToolCall[],
  inParts: string | null,
  where: string,
): Omit<ChatMessage, 'role' | 'content'> {
  const columns = reasoningColumns.filter((name) => !isMissing(fields[name]) && fields[name] !== '');
  const said = [
    ...columns.map((name) => ({ name, value: fields[name] })),
    ...(inParts === null ? [] : [{ name: 'content', value: inParts }]),
  ];
  const [thought, other] = said;
  if (role !== 'assistant' && (thought !== undefined || calls.length > 0))
    throw invalid(
      `${where} is of the ${role} and has ${thought === undefined ? 'calls' : `a thought in '${thought.name}'`}.`,
      'Only the assistant thinks and calls.',
    );
  if (other !== undefined && thought!.value !== other.value)
    throw invalid(`${where} has a thought in '${thought!.name}' and another one in '${other.name}'.`, 'Keep one of them.');
  const [id, name] = [fields['tool_call_id'], fields['name']];
  return {
    ...(thought === undefined ? {} : { reasoning_content: wellFormed(text(thought.value, thought.name)) }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...(isMissing(id) || role !== 'tool' ? {} : { tool_call_id: text(id, 'tool_call_id') }),
    ...(isMissing(name) || name === '' ? {} : { name: text(name, 'name') }),
  };
}

/** Reads a prompt and its completion, each a list of messages or a text. */
function promptAndCompletion(value: Fields, unused: Set<string>): readonly Turn[] {
  const [asked, answered] = [
    turnsOrText(value, 'prompt', 'user', unused),
    turnsOrText(value, 'completion', 'assistant', unused),
  ];
  return withThought([...asked, ...answered], value, unused);
}

/**
 * Returns turns whose one trained answer has the thought that the row holds in a column of its own. A column that only says
 * whether there is a thought is added to `unused`.
 */
function withThought(turns: readonly Turn[], value: Fields, unused: Set<string>): readonly Turn[] {
  for (const name of reasoningColumns) if (!isEmpty(value[name]) && !isThought(value[name])) unused.add(name);
  const [name, ...others] = reasoningColumns.filter((column) => isThought(value[column]));
  if (name === undefined) return turns;
  const thought = wellFormed(text(value[name], name));
  const other = others.find((column) => value[column] !== value[name]);
  if (other !== undefined) throw invalid(`the row has '${name}' and another text as '${other}'.`, 'Keep one of them.');
  const answers = turns.filter(({ trained }) => trained);
  if (answers.length !== 1 || answers[0]!.message.reasoning_content !== undefined)
    throw invalid(
      `the row has '${name}', and it cannot be told which of its answers it belongs to.`,
      `Write it as "reasoning_content" into the turn of the assistant, and remove '${name}' from the row.`,
    );
  return turns.map((each) => (each.trained ? { ...each, message: { ...each.message, reasoning_content: thought } } : each));
}

/** Reads a list of messages, or a text as one message of `role`. */
function turnsOrText(value: Fields, name: string, role: ChatMessage['role'], unused: Set<string>): Turn[] {
  const isNumber = typeof value[name] === 'number' || value[name] instanceof JsonNumber;
  const given = isNumber ? textOrNumber(value[name], name) : value[name];
  if (typeof given !== 'string') return turnsOf(value, name, openAi, unused);
  return given === '' ? [] : [turn(role, wellFormed(given))];
}

interface Part {
  readonly fields: Fields;
  readonly text: string;
  readonly isThought: boolean;
}

/** Says what to do about a part that is neither a text nor a thought. */
function partHint(type: unknown): string {
  const only = 'Only parts of the type "text", and thoughts before them, can be trained on';
  if (mediaParts.has(type)) return `${only}; pictures and sounds can be dropped (media).`;
  return typeof type === 'string' && type.startsWith('redacted')
    ? 'The text of such a thought is kept by the service that wrote it: remove the part, or leave the row out.'
    : `${only}.`;
}

/** Returns a text, or a list of texts and thoughts, as parts. */
function partsOf(content: unknown, where: string): Part[] {
  if (typeof content === 'string') return [{ fields: {}, text: content, isThought: false }];
  if (!Array.isArray(content))
    throw invalid(`${where} has no text as its content.`, 'Give every message a "content" that is a text.');
  return content.map((part: unknown, i) => {
    const fields = (part ?? {}) as Fields;
    const { type } = fields;
    const isThought = thoughtParts.some((name) => name === type);
    if (type !== 'text' && !isThought) throw invalid(`part ${i + 1} of ${where} has the type ${shown(type)}.`, partHint(type));
    const said = isThought ? thoughtOfPart(fields) : fields['text'];
    if (typeof said !== 'string')
      throw invalid(
        `part ${i + 1} of ${where} has no text.`,
        `Write a part as ${isThought ? '{"type": "thinking", "thinking": ...}' : '{"type": "text", "text": ...}'}.`,
      );
    return { fields, text: said, isThought };
  });
}

/** Returns the text of a part that is a thought: a text, or a list of texts, in one column. Returns null where there is none. */
function thoughtOfPart(fields: Fields): string | null {
  const given = ['text', ...thoughtParts].map((name) => fields[name]).filter((value) => !isMissing(value));
  if (given.length !== 1) return null;
  const pieces = (Array.isArray(given[0]) ? (given[0] as unknown[]) : given).map((piece) =>
    typeof piece === 'object' && piece !== null && (piece as Fields)['type'] === 'text' ? (piece as Fields)['text'] : piece,
  );
  return pieces.every((piece) => typeof piece === 'string') ? pieces.join('') : null;
}

/** Returns the thought in the parts of a message, or null where there is none. It may only stand before the texts. */
function thoughtIn(parts: readonly Part[], where: string): string | null {
  const at = parts.findLastIndex(({ isThought, text: said }) => isThought && said !== '');
  if (at < 0) return null;
  if (parts.slice(0, at).some(({ text: said }) => said !== ''))
    throw new Problem(
      'format-unsupported',
      `part ${at + 1} of ${where} is a thought behind another part: an answer has one thought, and begins with it.`,
      'Join the thoughts in one part at the beginning, or write what follows as a turn of its own.',
    );
  return parts[at]!.text;
}

/**
 * Returns whether a message is trained. Messages of the assistant are, unless the message or all of its parts say otherwise.
 */
function isTrained(fields: Fields, role: ChatMessage['role'], parts: readonly Part[], where: string): boolean {
  if (role !== 'assistant') {
    refuseWish(fields, parts, where, `is of the ${role}: only answers of the assistant are trained`);
    return false;
  }
  const said = trainedSaid(fields, where);
  const unlearned = parts.filter((part) => trainedSaid(part.fields, where) === false);
  if (unlearned.length > 0 && unlearned.length < parts.length) {
    const column = trainedColumns.find((name) => !isMissing(unlearned[0]!.fields[name]))!;
    throw new Problem(
      'format-unsupported',
      `${where} has '${column}' in its parts, of which only some are to be learned: a turn is trained as a whole or not at all.`,
      `Leave the row out, or give all parts of the turn the same '${column}'.`,
    );
  }
  return (said ?? true) && unlearned.length === 0;
}

/** Refuses a message if it or one of its parts asks to be trained. `why` says why it cannot be. */
function refuseWish(fields: Fields, parts: readonly Part[], where: string, why: string): void {
  for (const said of [fields, ...parts.map((part) => part.fields)]) {
    const wish = askColumns.find((name) => !isMissing(said[name]));
    if (trainedSaid(said, where) !== true || wish === undefined) continue;
    throw new Problem(
      'format-unsupported',
      `${where} asks with '${wish}' to be trained, and ${why}.`,
      `Remove '${wish}' from it, or leave the row out.`,
    );
  }
}

/** Returns what the columns of a message or a part say about its training, or null where they say nothing. */
function trainedSaid(fields: Fields, where: string): boolean | null {
  let said: boolean | null = null;
  for (const name of trainedColumns) {
    const value = fields[name];
    if (isMissing(value)) continue;
    if (value !== true && value !== false && value !== 0 && value !== 1)
      throw new Problem(
        'format-unsupported',
        `${where} has '${name}' ${shown(value)}: a turn is trained or it is not, nothing between.`,
        'Give 1 or 0, true or false.',
      );
    const yes = name === 'masked' ? !value : Boolean(value);
    said = (said ?? true) && yes;
  }
  return said;
}

/** Maps the role names of OpenAI, ShareGPT, LLaMA-Factory and ms-swift to roles. */
const roleNames: Readonly<Record<string, ChatMessage['role'] | 'call'>> = {
  system: 'system',
  developer: 'developer',
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  model: 'assistant',
  assistant: 'assistant',
  tool: 'tool',
  function: 'tool',
  function_response: 'tool',
  tool_response: 'tool',
  observation: 'tool',
  function_call: 'call',
  tool_call: 'call',
};

const openAi: Dialect = {
  columns: messageColumns,
  role({ role }, where) {
    if (typeof role === 'string' && openAiRoles.has(role)) return roleNames[role]!;
    throw invalid(`${where} has the role ${shown(role)}.`, 'Roles are system, developer, user, assistant and tool.');
  },
  content: ({ content }) => content,
};
const openAiRoles: ReadonlySet<string> = new Set([
  ...['system', 'developer', 'user', 'assistant', 'tool', 'function'],
  ...['tool_call', 'tool_response', 'function_call', 'observation'],
]);

const shareGpt: Dialect = {
  columns: shareGptColumns,
  role(message, where) {
    const [role, other] = [message['from'], message['role']]
      .filter((from) => !isMissing(from) && from !== '')
      .map((from) => {
        // NeMo's role names begin with a capital letter.
        const name = typeof from === 'string' ? from.toLowerCase() : '';
        if (Object.hasOwn(roleNames, name)) return roleNames[name]!;
        throw invalid(`${where} is from ${shown(from)}.`, `Known are ${Object.keys(roleNames).join(', ')}.`);
      });
    if (role === undefined) throw invalid(`${where} is from nobody.`, 'A message is {"from", "value"}.');
    if (other !== undefined && other !== role)
      throw invalid(`${where} is 'from' the ${role} and has the 'role' ${other}.`, 'Keep one of them.');
    return role;
  },
  content({ value, content }, where) {
    if (isMissing(value)) return content;
    // Merged data sets fill a column that one source lacks with an empty text.
    if (isMissing(content) || content === '' || content === value) return value;
    if (value === '') return content;
    throw invalid(`${where} has a 'value' and something else as its 'content'.`, 'Keep one of them.');
  },
};
