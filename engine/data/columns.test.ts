import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readGguf } from '../formats/gguf.ts';
import { reportOfRows } from '../testing/report-of-rows.ts';
import { mappedRow } from '../mapped-text.ts';
import type { AskedSet } from './checks/check.ts';
import { readAs } from './checks/columns.ts';
import { contentOf, detectFormat } from './content.ts';
import { readMapping } from './mapping.ts';
import type { RowReading, TokenRow } from './row.ts';
import { type DataRows, readRows } from '../testing/read-rows.ts';
import { openTokenizer, type Tokenizer } from './tokenizer.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-columns-'));
afterAll(() => rmSync(folder, { recursive: true }));
const tokenizer = openTokenizer({
  kind: 'gguf',
  metadata: readGguf('resources/models/SmolLM2-135M-Instruct.Q4_1.gguf').metadata,
});

const model = { spec: { contextLength: 2048, learnedPositions: null, ropes: [] }, tokenizer: null };

async function read(rows: readonly object[], using = tokenizer, reading: RowReading = {}): Promise<DataRows> {
  const path = join(folder, 'rows.jsonl');
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join('\n'));
  return readRows({ paths: [path] }, using, 49152, reading);
}
/** Text of each row, or its problem as a person reads it. */
async function texts(rows: readonly object[], using = tokenizer, reading: RowReading = {}): Promise<string[]> {
  return (await read(rows, using, reading)).rows.map((row) =>
    'problem' in row ? `${row.problem.code}: ${row.problem.message} ${row.problem.hint}` : row.text,
  );
}
/** What each turn says and whether it is trained. */
function turns(value: Record<string, unknown>, using: Tokenizer | null = tokenizer): unknown {
  const format = detectFormat(value);
  if (format === 'tokens') throw new Error('no text');
  const content = contentOf(value, format, using, new Set());
  if (content.kind !== 'messages') return content;
  return content.messages.map(({ role, content: said }, i) => `${role}${content.trained[i] ? '!' : ''}: ${said}`);
}

const asked = { role: 'user', content: 'Say yes' };
const answered = { role: 'assistant', content: 'Oui' };
const messages = [asked, answered];
const conversations = [
  { from: 'human', value: 'Say yes' },
  { from: 'gpt', value: 'Oui' },
];

test('a prompt and a completion are a question and its answer, or plain text where that is wanted', async () => {
  const row = { prompt: 'Say yes', completion: 'Oui' };
  const [chat, conversation] = await texts([row, { messages }]);
  expect(chat).toBe(conversation);
  expect(await texts([row], tokenizer, { promptFormat: 'text' })).toEqual(['Say yesOui']);
  const plain = { ...tokenizer, chatTemplate: null, encode: tokenizer.encode.bind(tokenizer) } as Tokenizer;
  expect(await texts([row], plain)).toEqual(['Say yesOui']);
  const asChat = await read([row]);
  expect(asChat.formats).toEqual([
    {
      name: 'prompt and completion',
      why: "there are columns 'prompt' and 'completion', asked by the chat template of the model",
      rows: 1,
    },
  ]);
});

test('what rows are is said with the reason', async () => {
  const { formats, format } = await read([
    { messages },
    { messages },
    { conversations },
    { question: 'a', answer: 'b' },
    { ticket: 'a', reply: 'b' },
    { chosen: 'a', rejected: 'b' },
    { n: 1, label: 2 },
  ]);
  expect(format).toBe('messages');
  expect(formats.map(({ name, why, rows }) => `${rows} ${name}: ${why}`).toSorted()).toEqual([
    "1 ShareGPT: 'conversations' holds lists of from and value",
    "1 null: 'ticket' may be the question and 'reply' the answer, which a mapping has to say",
    '1 null: rows are preference pairs, with answers to be compared',
    "1 null: rows have a 'label' and no answer to learn",
    "1 question and answer: there are columns 'question' and 'answer'",
    "2 chat messages: 'messages' holds lists of role and content",
  ]);
  const unknown = await read([{ ticket: 'a', reply: 'b' }]);
  expect(unknown.format).toBe('unknown');
  expect(unknown.rows[0]).toMatchObject({
    problem: { hint: expect.stringContaining('--map question=ticket,answer=reply') as unknown },
  });
});

test.each([
  ['question', 'answer'],
  ['Question', 'Answer'],
  ['query', 'response'],
  ['instruction', 'response'],
  ['prompt', 'answer'],
  ['input', 'output'],
  ['problem', 'solution'],
  ['user', 'assistant'],
])('columns called %s and %s are a question and its answer', async (question, answer) => {
  const found = await read([{ id: 1, [question]: 'Say yes', [answer]: 'Oui', system: 'Be brief.' }]);
  expect(found.format).toBe('question-answer');
  expect(turns({ [question]: 'Say yes', [answer]: 'Oui', system: 'Be brief.' })).toEqual([
    'system: Be brief.',
    'user: Say yes',
    'assistant!: Oui',
  ]);
});

test('a question is asked of a model without a chat template as an instruction is', () => {
  const plain: Tokenizer = { ...tokenizer, chatTemplate: null, encode: tokenizer.encode.bind(tokenizer) } as Tokenizer;
  expect(turns({ question: 'Count.', answer: '3' }, plain)).toEqual(turns({ instruction: 'Count.', output: '3' }, plain));
});

test('a question is refused where it may need another column, and where it is not clear which column is meant', async () => {
  const rows = await texts([
    { question: 'Who?', context: 'Ada wrote it.', answer: 'Ada' },
    { question: 'Which?', choices: ['a', 'b'], answer: 'a' },
    { question: 'Who?', context: '', answer: '' },
    { question: 'Who?', answer: 3 },
    { question: 'Who?', query: 'What?', answer: 'Ada' },
    { problem: '1 + 1', solution: 'Add them.', answer: '2' },
    { instruction: null, input: 'a', output: 'b' },
  ]);
  expect(rows[0]).toMatch(/line 1: the row has 'context': the question may need it.*--map "question=\{context\} \{question\}/s);
  expect(rows[1]).toMatch(/line 2: the row has 'choices'/);
  expect(rows[2]).toMatch(/^data-empty: .*line 3: 'answer' is empty/);
  expect(rows[3]).toMatch(/assistant\n3</);
  for (const row of rows.slice(4)) expect(row).toMatch(/^format-unknown/);
});

test.each([
  [{ instruction: 'Who?', response: 'Ada', context: 'A.' }, 'question={context} {instruction},answer=response'],
  [{ input: 'Who?', output: 'Ada', passage: 'A.' }, 'question={passage} {input},answer=output'],
  [{ question: 'Who?', answer: 'Ada', context: 'A.', options: ['a'] }, 'question={context} {options} {question},answer=answer'],
  [
    { id: '1', question: 'Who?', context: 'A.', answers: { text: ['Ada'], answer_start: [0] } },
    'question={context} {question},answer=answers.text[0]',
  ],
  [{ question: 'Who?', reply: { text: 'Ada' }, context: 'A.' }, 'question={context} {question},answer=reply.text'],
])('the mapping that is advised for %j gives the answer with what the question needs', async (row, mapping) => {
  const [said] = await texts([row]);
  expect(said).toContain(`--map "${mapping}"`);
  expect(turns(mappedRow(row, readMapping(mapping)))).toEqual([
    expect.stringMatching(/^user: A\. .*Who\?$/) as unknown,
    'assistant!: Ada',
  ]);
});

test('a column that is null is named, by the row and by what rows are read as', async () => {
  const rows = [
    { question: null, answer: 'b' },
    { question: 'a', answer: null },
    { Prompt: null, Response: 'b' },
    { prompt: 'a', completion: null },
    { question: null, answer: null },
    { messages: null },
    { text: null, label: 1 },
  ];
  const found = await read(rows);
  const names = ['question', 'answer', 'Prompt', 'completion', 'question', 'messages', 'text'];
  expect(found.rows.map((row) => ('problem' in row ? row.problem.message.replace(/^.*: /, '') : ''))).toEqual(
    names.map((name) => `'${name}' is null.`),
  );
  expect(new Set(found.formats.map(({ why }) => why))).toEqual(new Set(names.map((name) => `'${name}' is null`)));
  // Tables merged from several sources fill in what a row lacks.
  expect((await texts([{ prompt: null, completion: null, ticket: 'a', reply: 'b' }]))[0]).toContain(
    'question=ticket,answer=reply',
  );
});

test('a column that the answer may need is warned of where it is not used', async () => {
  const about = async (row: object) => {
    const found = await read([row, row]);
    return reportOfRows(found, [], 1024, model).checks.find(({ name }) => name === 'unused-columns');
  };
  const warned = {
    severity: 'warning',
    detail: expect.stringContaining("'context' may hold what the answers are about") as unknown,
  };
  expect(await about({ prompt: 'Who?', completion: 'Ada', context: 'Ada wrote it.' })).toMatchObject(warned);
  expect(await about({ instruction: 'Who?', output: 'Ada', context: 'Ada wrote it.' })).toMatchObject(warned);
  expect(await about({ prompt: 'Who?', completion: 'Ada', id: 3 })).toMatchObject({ severity: 'passed' });
});

test('rows of one format are counted together, by whatever it was recognized', async () => {
  const { formats } = await read([{ messages }, { prompt: [asked], completion: [answered] }, { text: 'a' }]);
  expect(readAs.ask({ formats, files: [] } as unknown as AskedSet)).toMatchObject({
    title: 'Read as chat messages (2) and raw text (1)',
  });
});

test('turns of from and value are read in a column of messages too', () => {
  const said = ['user: Say yes', 'assistant!: Oui'];
  expect(turns({ messages: conversations })).toEqual(said);
  expect(turns({ prompt: conversations.slice(0, 1), completion: conversations.slice(1) })).toEqual(said);
  expect(() => turns({ messages: [asked, { from: 'gpt', value: 'Oui' }] })).toThrow(/message 2 has the role nothing/);
});

test('a part that is no text is refused with what to do about its type', async () => {
  const withPart = (part: object) => ({
    messages: [asked, { role: 'assistant', content: [part, { type: 'text', text: 'Oui' }] }],
  });
  const [redacted, image, other] = await texts([
    withPart({ type: 'redacted_thinking', data: 'x' }),
    withPart({ type: 'image_url', image_url: {} }),
    withPart({ type: 'refusal', refusal: 'no' }),
  ]);
  expect(redacted).toMatch(/has the type "redacted_thinking".*remove the part/);
  expect(image).toMatch(/pictures and sounds can be dropped/);
  expect(other).toMatch(/has the type "refusal"/);
  expect(other).not.toMatch(/pictures/);
});

/** A template that writes a thought apart from the content. */
const thinking = {
  ...{ chatTemplate: '{{ message.reasoning_content }}', bosText: null, eosText: null },
} as unknown as Tokenizer;
function thoughtsOf(value: Record<string, unknown>, using: Tokenizer = thinking): unknown {
  const unused = new Set<string>();
  const format = detectFormat(value);
  if (format === 'tokens') throw new Error('no text');
  const content = contentOf(value, format, using, unused, 'chat');
  if (content.kind !== 'messages') return content;
  return [content.messages.map((message) => message.reasoning_content ?? null), [...unused]];
}

test('a thought in a part is that of its answer, whatever the part is called', () => {
  const withParts = (...parts: object[]) => ({ messages: [asked, { role: 'assistant', content: parts }] });
  const oui = { type: 'text', text: 'Oui' };
  const thoughts = [
    { type: 'thinking', thinking: 'hm' },
    {
      type: 'thinking',
      thinking: [
        { type: 'text', text: 'h' },
        { type: 'text', text: 'm' },
      ],
    },
    { type: 'reasoning', text: 'hm' },
    { type: 'reasoning', reasoning: 'hm' },
    { type: 'thoughts', text: 'hm' },
  ];
  for (const part of thoughts) {
    expect(thoughtsOf(withParts(part, oui))).toEqual([[null, 'hm'], []]);
    expect(turns(withParts(part, oui), thinking)).toEqual(['user: Say yes', 'assistant!: Oui']);
  }
  expect(thoughtsOf(withParts({ type: 'thinking', thinking: 'hm', signature: 'x' }, oui))).toEqual([
    [null, 'hm'],
    ['messages[].content[].signature'],
  ]);
  expect(thoughtsOf(withParts({ type: 'thinking', thinking: '' }, oui))).toEqual([[null, null], []]);
  expect(() => thoughtsOf(withParts(oui, thoughts[0]!))).toThrow(/part 2 of message 2 is a thought behind another part/);
  expect(() => thoughtsOf(withParts(thoughts[0]!, thoughts[0]!, oui))).toThrow(/part 2 of message 2 is a thought behind/);
  expect(() => thoughtsOf(withParts({ type: 'reasoning', summary: [] }, oui))).toThrow(/part 1 of message 2 has no text/);
  expect(() => thoughtsOf({ messages: [{ role: 'user', content: thoughts }, answered] })).toThrow(/message 1/);
  const twice = { messages: [asked, { role: 'assistant', reasoning: 'no', content: [thoughts[0], oui] }] };
  expect(() => thoughtsOf(twice)).toThrow(/message 2 has a thought in 'reasoning' and another one in 'content'/);
});

test('a thought beside a question and its answer is that of the answer', () => {
  const rows = [
    { prompt: 'a', completion: 'b', reasoning_content: 'hmm' },
    { prompt: [asked], completion: [answered], thinking: 'hmm' },
    { instruction: 'a', output: 'b', thought: 'hmm' },
    { question: 'a', answer: 'b', reasoning: 'hmm', thinking: 'hmm' },
  ];
  for (const row of rows) expect(thoughtsOf(row)).toEqual([[null, 'hmm'], []]);
  expect(thoughtsOf({ prompt: 'a', completion: 'b', reasoning: 'off', thinking: false, thought: '' })).toEqual([
    [null, null],
    ['reasoning', 'thinking'],
  ]);
  expect(() => thoughtsOf({ ...rows[0]!, thought: 'nope' })).toThrow(/'reasoning_content' and another text as 'thought'/);
  expect(() => thoughtsOf({ prompt: 'a', completion: [answered, asked, answered], thinking: 'hmm' })).toThrow(
    /the row has 'thinking', and it cannot be told which of its answers it belongs to/,
  );
});

test('a thought is refused by name where there is no place for it', async () => {
  const rows = await texts([
    { prompt: 'a', completion: 'b', reasoning_content: 'hmm' },
    { question: 'a', answer: 'b', Reasoning: 'hmm' },
    { messages, reasoning_content: 'hmm' },
    { prompt: [asked], completion: [answered], thoughts: ['hmm'] },
    { prompt: 'a', completion: 'b', reasoning: 'off', thinking: false, thought: '' },
  ]);
  expect(rows[0]).toMatch(/^format-unsupported: .*message 2 has a thought.*writes no thoughts/);
  expect(rows[1]).toMatch(/^format-unsupported: .*'Reasoning'/);
  expect(rows[2]).toMatch(/^format-unsupported: .*thoughts are read from the turn of the assistant/);
  expect(rows[3]).toMatch(/^format-unsupported: .*thoughts are not read from there/);
  expect(rows[4]).toContain('b');
  expect(rows[4]).not.toMatch(/^format-unsupported/);
  const [plain] = await texts([{ prompt: 'a', completion: 'b', reasoning: 'hmm' }], tokenizer, { promptFormat: 'text' });
  expect(plain).toMatch(/'reasoning': a prompt that is plain text has no place for a thought.*promptFormat chat/);
});

describe('a system text beside the turns', () => {
  test('is the first turn, whatever the format', async () => {
    const system = 'Answer in French.';
    const rows = await texts([
      { messages: [{ role: 'system', content: system }, ...messages] },
      { system, messages },
      { system_prompt: system, messages },
      { system, conversations },
      { system, instruction: 'Say yes', output: 'Oui' },
      { system, prompt: [asked], completion: [answered] },
      { system, messages: [{ role: 'system', content: system }, ...messages] },
    ]);
    expect(rows[0]).toContain(system);
    expect(new Set(rows).size).toBe(1);
  });

  test('is refused where the turns begin with another one, or a plain prompt has no place for it', async () => {
    const rows = await texts([
      { system: 'A', messages: [{ role: 'system', content: 'B' }, ...messages] },
      { system: 'A', conversations: [{ from: 'system', value: 'B' }, ...conversations] },
      { system: 'A', system_prompt: 'B', messages },
    ]);
    const [plain] = await texts([{ system: 'A', prompt: 'p', completion: 'c' }], tokenizer, { promptFormat: 'text' });
    expect(rows[0]).toMatch(/^data-invalid: .*line 1: the row has a 'system' text, and its turns begin with another one/);
    expect(rows[1]).toMatch(/line 2: the row has a 'system' text/);
    expect(rows[2]).toMatch(/line 3: the row has 'system' and another text as 'system_prompt'/);
    expect(plain).toMatch(/^format-unsupported: .*line 1: the row has 'system': .*start of the prompt/);
  });

  test('stands before the instruction for a model without a chat template', () => {
    const plain: Tokenizer = { ...tokenizer, chatTemplate: null, encode: tokenizer.encode.bind(tokenizer) } as Tokenizer;
    expect(turns({ system: 'Be brief.', instruction: 'Count.', input: '1 2', output: '3' }, plain)).toEqual({
      kind: 'completion',
      prompt: 'Be brief.\n\n### Instruction:\nCount.\n\n### Input:\n1 2\n\n### Response:\n',
      completion: '3',
    });
  });
});

describe('what is trained', () => {
  test('are the answers of a completion alone, never those of its prompt', () => {
    const prompt = [asked, { role: 'assistant', content: 'EARLIER' }, { role: 'user', content: 'b' }];
    const expected = ['user: Say yes', 'assistant: EARLIER', 'user: b', 'assistant!: LAST'];
    expect(turns({ prompt, completion: [{ role: 'assistant', content: 'LAST' }] })).toEqual(expected);
    expect(turns({ prompt, completion: 'LAST' })).toEqual(expected);
    expect(turns({ prompt: 'Say yes', completion: [answered] })).toEqual(['user: Say yes', 'assistant!: Oui']);
    expect(turns({ prompt: 'Say yes', completion: 'Oui' })).toEqual({
      kind: 'completion',
      prompt: 'Say yes',
      completion: 'Oui',
    });
  });

  test('is what messages and their parts say', () => {
    const unlearned = [
      { weight: 0 },
      { train: false },
      { training: false },
      { loss: false },
      { masked: true },
      { loss_scale: 0 },
    ];
    for (const said of unlearned)
      expect(turns({ messages: [asked, { ...answered, ...said }, asked, answered] })).toEqual([
        'user: Say yes',
        'assistant: Oui',
        'user: Say yes',
        'assistant!: Oui',
      ]);
    for (const said of [{ weight: 1 }, { train: true }, { loss: null }, { masked: false }, { weight: 1, train: true }])
      expect(turns({ messages: [asked, { ...answered, ...said }] })).toEqual(['user: Say yes', 'assistant!: Oui']);
    const parts = (weights: readonly number[]) => weights.map((weight) => ({ type: 'text', text: `${weight} `, weight }));
    const answer = (weights: readonly number[]) => ({
      messages: [asked, { role: 'assistant', content: parts(weights) }, ...messages],
    });
    expect(turns(answer([0, 0]))).toContain('assistant: 0 0 ');
    expect(turns(answer([1, 1]))).toContain('assistant!: 1 1 ');
    expect(() => turns(answer([0, 1]))).toThrow("message 2 has 'weight' in its parts");
    expect(
      turns({
        conversations: [{ from: 'User', value: 'a' }, { from: 'Assistant', value: 'b', train: false }, ...conversations],
      }),
    ).toEqual(['user: a', 'assistant: b', 'user: Say yes', 'assistant!: Oui']);
  });

  test('is refused where it would be something else', async () => {
    const given: [object, string][] = [
      [{ messages: [asked, { ...answered, weight: 0.5 }] }, "message 2 has 'weight' 0.5"],
      [{ messages: [{ ...asked, train: true }, answered] }, "message 1 asks with 'train' to be trained"],
      [{ messages: [asked, { ...answered, train_detail: [{ begin_offset: 0 }] }] }, "message 2 has 'train_detail'"],
      [{ messages: [asked, { ...answered, mask: [1, 0] }] }, "message 2 has 'mask'"],
      [{ conversations, mask: 'Assistant' }, "the row has 'mask'"],
      [{ messages, weight: 0.25 }, "the row has 'weight'"],
      [{ messages: [asked, { ...answered, weight: 0 }] }, 'no answer in the row is trained'],
      [{ prompt: messages, completion: [asked] }, 'no answer in the row is trained'],
    ];
    const rows = await texts(given.map(([row]) => row));
    for (const [i, [, said]] of given.entries()) expect(rows[i]).toContain(`line ${i + 1}: ${said}`);
  });

  test('is never an empty answer alone', async () => {
    const rows = await read([
      { prompt: 'a', completion: '' },
      { prompt: [asked], completion: [{ role: 'assistant', content: '' }] },
      { messages: [asked, { role: 'assistant', content: ' \n' }] },
      { instruction: 'a', output: '' },
      { text: ' ' },
      { prompt: '', completion: 'fine on its own' },
    ]);
    const codes = rows.rows.map((row) => ('problem' in row ? row.problem.code : 'ok'));
    expect(codes).toEqual(['data-empty', 'data-empty', 'data-empty', 'data-empty', 'data-empty', 'ok']);
  });
});

describe('a row of preferences', () => {
  test('is never a conversation whose history is trained, nor a demonstration', async () => {
    const history = conversations.slice(0, 1);
    const [good, bad] = [
      { from: 'gpt', value: 'GOOD' },
      { from: 'gpt', value: 'BAD' },
    ];
    const rows = [
      { conversations: [...conversations, ...history], chosen: good, rejected: bad },
      { prompt: 'p', chosen: 'c', rejected: 'r' },
      { chosen: '\n\nHuman: a\n\nAssistant: b', rejected: '\n\nHuman: a\n\nAssistant: c' },
      { prompt: 'p', completion: 'c', rejected: 'r' },
      { messages, rejected_response: 'Non' },
      { messages, rejected_messages: [asked, answered] },
      { messages, chosen: messages, rejected: messages, score_chosen: 9 },
      { instruction: 'i', input: '', output: 'o', rejected: 'r' },
      { instruction: 'i', output: ['o', 'p'], chosen: 'c' },
      { prompt: 'p', responses: ['a', 'b'], ranking: [1, 0] },
      { input: { messages: [asked] }, preferred_output: messages, non_preferred_output: messages },
      { text: 't', rejected: 'u' },
      { prompt: [asked], completion: [answered], label: false },
      { prompt: [asked], completion: [answered], label: true },
      { messages, label: 1 },
      { conversations, kto_tag: true },
      { prompt: 'p', completion: 'c', label: 'False' },
    ];
    for (const [i, said] of (await texts(rows)).entries())
      expect(said).toMatch(new RegExp(`^format-unsupported: .*line ${i + 1}: the row has '\\w+': .*(preferences|verdicts)`));
  });

  test('is not told by columns that are empty or mean something else', async () => {
    const { rows, unused } = await read([
      { messages, chosen: null, rejected: '', label: null },
      { messages, label: 'greeting' },
      { text: 'a review', label: 1 },
      { instruction: 'i', output: 'o', ranks: 3, rejected: null },
    ]);
    expect(rows.map((row) => 'problem' in row)).toEqual([false, false, false, false]);
    expect(unused).toEqual([
      { name: 'label', rows: 2 },
      { name: 'ranks', rows: 1 },
    ]);
  });
});

test('what cannot be trained on is refused with its column, its line and a way out', async () => {
  const given: [string, object][] = [
    ['images', { messages, images: ['a.png'] }],
    ['videos', { conversations, videos: ['a.mp4'] }],
    ['audios', { prompt: 'p', completion: 'c', audios: ['a.wav'] }],
    ['image', { text: 't', image: 'a.png' }],
    ['tools', { messages, tools: '[{"name": "f"}]' }],
    ['tools', { prompt: 'p', completion: 'c', tools: [{}] }],
    ['history', { instruction: 'i', output: 'o', history: [['a', 'b']] }],
  ];
  const rows = await texts(
    given.map(([, row]) => row),
    tokenizer,
    { promptFormat: 'text' },
  );
  for (const [i, [name]] of given.entries())
    expect(rows[i]).toMatch(
      new RegExp(`^format-unsupported: .*rows.jsonl, line ${i + 1}: the row has '${name}': .+\\. .+\\.$`),
    );
  const inMessage = ['reasoning_details', 'thoughts', 'refusal', 'channel', 'prefix', 'audio'];
  const refused = await texts(inMessage.map((name) => ({ messages: [asked, { ...answered, [name]: 'x' }] })));
  for (const [i, name] of inMessage.entries())
    expect(refused[i]).toMatch(new RegExp(`^format-unsupported: .*line ${i + 1}: message 2 has '${name}': `));
  const [picture] = await texts([{ messages: [{ role: 'user', content: [{ type: 'image', image: 'a.png' }] }, answered] }]);
  expect(picture).toContain('part 1 of message 1 has the type "image"');
  const thoughts = ['reasoning_content', 'reasoning', 'thinking', 'thought'];
  for (const text of await texts(thoughts.map((name) => ({ messages: [asked, { ...answered, [name]: 'x' }] }))))
    expect(text).toMatch(/^format-unsupported: .*message 2 has a thought beside its content.*writes no thoughts/);
});

test('who speaks and which call a result answers are read where the template may want them', () => {
  const using = (chatTemplate: string) => ({ chatTemplate }) as Tokenizer;
  const row = {
    messages: [
      { role: 'developer', content: 'Be kind.' },
      { ...asked, name: 'Ann' },
      { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{}' } },
      { role: 'function', name: 'f', content: '1' },
      { ...answered, reasoning: 'Because.' },
    ],
  };
  const read = (chatTemplate: string, unused = new Set<string>()) => {
    const content = contentOf(row, 'messages', using(chatTemplate), unused);
    return [content.kind === 'messages' && content.messages, [...unused]];
  };
  const call = { type: 'function', function: { name: 'f', arguments: '{}' } };
  const messages = (user: object) => [
    { role: 'developer', content: 'Be kind.' },
    user,
    { role: 'assistant', content: '', tool_calls: [call] },
    { role: 'tool', content: '1', name: 'f' },
    { ...answered, reasoning_content: 'Because.' },
  ];
  expect(read('{{ message.name }}')).toEqual([messages({ ...asked, name: 'Ann' }), []]);
  expect(read('{{ message.role }}')).toEqual([messages(asked), ['messages[].name']]);
});

test('calls that follow one another, or what is said before them, are one turn', () => {
  const called = { from: 'function_call', value: '{"name": "f", "arguments": {}}' };
  const row = {
    conversations: [
      { from: 'human', value: 'a' },
      { from: 'gpt', value: 'I look.' },
      called,
      called,
      { from: 'observation', value: '1' },
      { from: 'gpt', value: 'b' },
    ],
  };
  const content = contentOf(row, 'sharegpt', null, new Set());
  const call = { type: 'function', function: { name: 'f', arguments: {} } };
  expect(content.kind === 'messages' && content.messages.slice(1, 3)).toEqual([
    { role: 'assistant', content: 'I look.', tool_calls: [call, call] },
    { role: 'tool', content: '1' },
  ]);
});

describe('variables of the chat template', () => {
  const hub = tokenizer.toHubFiles();
  const reading = (chatTemplate: string) =>
    openTokenizer({
      kind: 'hub',
      tokenizerJson: hub['tokenizer.json'],
      tokenizerConfig: { eos_token: '<|im_end|>' },
      generationConfig: null,
      chatTemplate,
    });
  const variables = (value: Record<string, unknown>, using: Tokenizer) => {
    const content = contentOf(value, 'messages', using, new Set());
    return content.kind === 'messages' && content.variables;
  };

  test('are chat_template_kwargs and documents', () => {
    const template = reading('{% if enable_thinking %}{{ documents }}{% endif %}');
    const documents = [{ title: 't', text: 'x' }];
    expect(variables({ messages, documents, chat_template_kwargs: { enable_thinking: false } }, template)).toEqual({
      documents,
      enable_thinking: false,
    });
    expect(variables({ messages, chat_template_kwargs: null, documents: [] }, template)).toEqual({});
  });

  test('are listed or refused where the template does not read them, or has them from elsewhere', async () => {
    const { rows, unused } = await read([
      { messages, chat_template_kwargs: { enable_thinking: false, add_generation_prompt: false } },
      { messages, documents: ['x'] },
      { messages, chat_template_kwargs: { tools: [{}] } },
      { messages, chat_template_kwargs: '{}}' },
    ]);
    expect(unused.map(({ name }) => name)).toContain('chat_template_kwargs.enable_thinking');
    const said = rows.map((row) => ('problem' in row ? row.problem.message.replace(/^.*line \d+: /, '') : 'ok'));
    expect(said).toEqual([
      'ok',
      "the row has 'documents', which the model's chat template does not write.",
      "'chat_template_kwargs' has 'tools': a row cannot set it.",
      "'chat_template_kwargs' is not an object.",
    ]);
  });
});

test('columns that nothing is read from are counted and listed once, also those of messages and parts', async () => {
  const part = { type: 'text', text: 'Oui', cache_control: { type: 'ephemeral' } };
  const found = await read([
    {
      id: 1,
      source: 'a',
      messages: [
        { ...asked, name: 'Ann' },
        { ...answered, name: 'Bot' },
      ],
    },
    { id: 2, source: null, messages: [asked, { role: 'assistant', content: [part] }], parallel_tool_calls: false },
    { id: 3, conversations, 'a`b': 1, __proto__: 1, constructor: 'x' },
    { id: 4, instruction: 'i', output: 'o', text: 'i o' },
    { id: 5, tools: [{ name: 'f' }], messages },
  ]);
  expect((found.rows[4] as { problem?: unknown }).problem).toBeDefined();
  const { checks } = reportOfRows(found, [], 1024, model);
  expect(checks.find(({ title }) => title.startsWith('Columns not used'))).toMatchObject({
    severity: 'passed',
    title:
      "Columns not used: 'id' (4 rows), 'a`b' (1), 'constructor' (1), 'messages[].content[].cache_control' (1), " +
      "'messages[].name' (1), 'parallel_tool_calls' (1), 'source' (1), 'text' (1)",
    detail: 'They change nothing of what is trained.',
    rows: [],
  });
  expect(
    reportOfRows({ ...found, unused: [] }, [], 1024, model)
      .checks.map(({ title }) => title)
      .join(),
  ).not.toContain('Columns not used');
});

test('rows that are refused for different columns are told apart by the report', async () => {
  const found = await read([
    { messages, tools: [{ name: 'f' }] },
    { messages, images: ['a'] },
    { messages, tools: [{ name: 'f' }] },
  ]);
  const blocking = reportOfRows(found, [], 1024, model).checks.filter(({ severity }) => severity === 'blocking');
  expect(blocking.map(({ rows }) => rows)).toEqual([[0, 2], [1]]);
  expect(blocking.map(({ detail }) => detail)).toEqual([
    expect.stringMatching(/line 1: the row has 'tools'.*remove 'tools'/),
    expect.stringMatching(/line 2: the row has 'images'.*remove 'images'/),
  ]);
});

test('text in more than one format is read as the first and the rest is listed', async () => {
  const { rows, unused, format } = await read([{ messages, text: 'x', prompt: 'p', completion: null, input_ids: null }]);
  expect([format, (rows[0] as TokenRow).messages]).toEqual(['messages', messages]);
  expect(unused.map(({ name }) => name)).toEqual(['prompt', 'text']);
});

test('a column is the same in every spelling of its name and its value', async () => {
  const columns: object[] = [
    ...[{ train: 'false' }, { Train: 0 }, { loss: false }, { trainable: 'False' }, { masked: true }],
    ...[{ weight: '0' }, { weight: '0.5' }, { weight: [0, 0] }, { Weights: 0 }, { sampleWeight: 2 }],
    ...[{ label: 'False ' }, { label: '1' }, { is_desirable: false }, { isDesirable: 'no' }, { KTO_tag: true }],
    ...[{ Rejected: 'Non' }, { REJECTED_RESPONSE: 'Non' }, { Tools: [{}] }, { Images: ['a'] }, { History: [['a', 'b']] }],
    ...[{ System: 'Be brief.' }, { systemPrompt: 'Be brief.' }, { loss_mask: [0, 1] }, { mask: [0, 1] }],
  ];
  for (const [i, said] of (await texts(columns.map((column) => ({ messages, ...column })))).entries())
    expect(said).toMatch(new RegExp(`^format-unsupported: .*line ${i + 1}: the row has '${Object.keys(columns[i]!)[0]}': `));
  const inMessage = ['Weight', 'TRAIN', 'toolCalls', 'reasoningContent', 'Content'];
  for (const [i, said] of (
    await texts(inMessage.map((name) => ({ messages: [asked, { ...answered, [name]: [0] }] })))
  ).entries())
    expect(said).toContain(`message 2 has '${inMessage[i]}': `);
  expect(await texts([{ prompt: 'p', Chosen: 'c', Rejected: 'r' }])).toEqual([expect.stringContaining('preferences')]);
});

test('a value that says nothing of training is no reason to refuse a row', async () => {
  const { rows, unused } = await read([
    { messages, train: 'true', weight: '1.0', weights: [1, 1], loss: 0.53, masked: false },
    { messages, train: 'split', weight: '70 kg', label: [0, 1], Rejected: null, System: '' },
  ]);
  expect(rows.map((row) => ('problem' in row ? row.problem.message : 'ok'))).toEqual(['ok', 'ok']);
  expect(unused.map(({ name }) => name)).toEqual(['train', 'weight', 'label', 'loss', 'masked', 'weights']);
});

test('two columns of one meaning are refused where they differ', async () => {
  const human = { from: 'human', value: 'a' };
  const other = { from: 'gpt', value: 'b' };
  const rows = await texts([
    { conversations: [human, { ...other, content: 'DIFFERENT' }] },
    { conversations: [human, { ...other, role: 'user' }] },
    { conversations: [human, { ...other, role: 'nobody' }] },
    { messages, documents: ['x'], chat_template_kwargs: { documents: ['y'] } },
  ]);
  expect(rows[0]).toContain(`line 1: message 2 has a 'value' and something else as its 'content'.`);
  expect(rows[1]).toContain(`line 2: message 2 is 'from' the assistant and has the 'role' user.`);
  expect(rows[2]).toContain(`line 3: message 2 is from "nobody".`);
  expect(rows[3]).toContain(`line 4: the row has 'documents' and others in 'chat_template_kwargs'.`);
  const agreeing = [
    { ...other, content: 'b', role: 'assistant' },
    { ...other, content: '' },
    { role: 'assistant', value: '', content: 'b' },
  ];
  for (const answer of agreeing) expect(turns({ conversations: [human, answer] })).toEqual(['user: a', 'assistant!: b']);
});

test('a turn that asks to be trained and is not is refused, in whatever words it asks', async () => {
  const completion = [answered];
  const part = { type: 'text', text: 'a', train: true };
  const given: [object, string][] = [
    [{ prompt: [asked, { ...answered, train: true }, asked], completion }, "message 2 of 'prompt' asks with 'train'"],
    [{ prompt: [asked, { ...answered, masked: 0 }, asked], completion }, "message 2 of 'prompt' asks with 'masked'"],
    [{ messages: [{ ...asked, loss: 1 }, answered] }, "message 1 asks with 'loss'"],
    [{ messages: [{ ...asked, masked: 0 }, answered] }, "message 1 asks with 'masked'"],
    [{ messages: [{ ...asked, content: [part] }, answered] }, "message 1 asks with 'train'"],
  ];
  const rows = await texts(given.map(([row]) => row));
  for (const [i, [, said]] of given.entries()) expect(rows[i]).toContain(`line ${i + 1}: ${said} to be trained`);
  const silent = { ...answered, train: false, loss: 0, weight: 1 };
  expect(turns({ prompt: [{ ...asked, masked: 1 }, silent, asked], completion })).toHaveLength(4);
});

test('what a template is given for every row is not set by a row', async () => {
  const names = ['bos_token', 'eos_token', 'strftime_now', 'raise_exception', 'namespace', 'True'];
  const rows = await texts(
    ['x', ''].flatMap((value) => names.map((name) => ({ messages, chat_template_kwargs: { [name]: value } }))),
  );
  for (const [i, said] of rows.entries())
    expect(said).toContain(`'chat_template_kwargs' has '${names[i % names.length]}': a row cannot set it.`);
});
