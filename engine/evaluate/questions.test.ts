import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ChatMessage } from '../contract.ts';
import type { RowReading, TokenRow } from '../data/row.ts';
import { readRows } from '../testing/read-rows.ts';
import { openTokenizer } from '../data/tokenizer.ts';
import { readGguf } from '../formats/gguf.ts';
import { sampleFiles, sampleNames } from '../resources.ts';
import { chatPrompt, questionOf, inContext } from './questions.ts';

const tokenizer = openTokenizer({
  kind: 'gguf',
  metadata: readGguf('resources/models/SmolLM2-135M-Instruct.Q4_1.gguf').metadata,
});
const folder = mkdtempSync(join(tmpdir(), 'lowrank-questions-'));
afterAll(() => rmSync(folder, { recursive: true }));

const user = (content: string): ChatMessage => ({ role: 'user', content });
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content });
const system = (content: string): ChatMessage => ({ role: 'system', content });

async function rowOf(value: object, settings: RowReading = {}): Promise<TokenRow> {
  const path = join(folder, 'row.jsonl');
  writeFileSync(path, JSON.stringify(value));
  const [row] = (await readRows({ paths: [path] }, tokenizer, 49152, settings)).rows;
  return row as TokenRow;
}

describe('a question', () => {
  it.each(sampleNames)('of the sample %s is asked with the tokens that a chat has for it', async (name) => {
    const { rows } = await readRows({ paths: [sampleFiles(name).test] }, tokenizer, 49152);
    expect(rows).toHaveLength(120);
    for (const row of rows as TokenRow[]) {
      const messages = row.messages!;
      const asked = await questionOf(row, tokenizer);
      expect(asked).toMatchObject({ question: messages.at(-2)!.content, expected: messages.at(-1)!.content });
      expect(asked!.prompt).toEqual(await chatPrompt(messages.slice(0, -1), tokenizer));
    }
  });

  it('is the last of a conversation, and everything before a completion', async () => {
    const conversation = await rowOf({ messages: [user('One?'), assistant('1'), user('Two?'), assistant('2')] });
    expect(await questionOf(conversation, tokenizer)).toMatchObject({ question: 'Two?', expected: '2' });
    const completion = await rowOf({ prompt: 'The sky is', completion: ' blue.' });
    expect(await questionOf(completion, tokenizer)).toMatchObject({ question: 'The sky is', expected: ' blue.' });
    expect(await questionOf(await rowOf({ text: 'All of it is trained.' }), tokenizer)).toBeNull();
  });
});

describe('examples', () => {
  const shots = [
    [system('Another role.'), user('a'), assistant('A')],
    [user('b'), assistant('B')],
  ];
  const asked = async (messages: readonly ChatMessage[], given = shots) => {
    const row = await rowOf({ messages });
    const question = (await questionOf(row, tokenizer))!;
    return { alone: question, behind: await inContext(question, row, { shots: given }, tokenizer) };
  };

  it('stand between the system message of a row and its question, without a system message of their own', async () => {
    const { alone, behind } = await asked([system('Shout.'), user('c'), assistant('C')]);
    const turns = [user('a'), assistant('A'), user('b'), assistant('B')];
    expect(behind.prompt).toEqual(await chatPrompt([system('Shout.'), ...turns, user('c')], tokenizer));
    expect({ ...behind, prompt: [] }).toEqual({ ...alone, prompt: [] });
  });

  it('keep the earlier turns of a row, and change nothing where there are none', async () => {
    const messages = [user('x'), assistant('X'), user('c'), assistant('C')];
    const { behind } = await asked(messages, [shots[1]!]);
    expect(behind.prompt).toEqual(
      await chatPrompt([user('b'), assistant('B'), user('x'), assistant('X'), user('c')], tokenizer),
    );
    const { alone, behind: same } = await asked(messages, []);
    expect(same).toEqual(alone);
  });

  it('never hold the row itself, whatever it is told as the system', async () => {
    const { behind } = await asked([system('Shout.'), user('a'), assistant('A')]);
    expect(behind.prompt).toEqual(await chatPrompt([system('Shout.'), user('b'), assistant('B'), user('a')], tokenizer));
  });

  it('are of the turn that is trained, where later ones are not', async () => {
    const untrained = { ...assistant('Untrained.'), weight: 0 };
    const { behind } = await asked([user('c'), assistant('C'), user('d'), untrained], [shots[1]!]);
    expect(behind.prompt).toEqual(await chatPrompt([user('b'), assistant('B'), user('c')], tokenizer));
  });

  it('are refused in front of what is no conversation', async () => {
    const row = await rowOf({ prompt: 'The sky is', completion: ' blue.' }, { promptFormat: 'text' });
    const question = (await questionOf(row, tokenizer))!;
    await expect(inContext(question, row, { shots }, tokenizer)).rejects.toMatchObject({ code: 'format-unsupported', line: 1 });
  });
});
