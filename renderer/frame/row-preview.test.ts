import { expect, test } from 'vitest';
import { previewOf } from './row-preview.ts';

const said = (...of: Parameters<typeof previewOf>) =>
  previewOf(...of).map(({ role, text, isTrained }) => `${role}${isTrained ? '*' : ''}: ${text}`);

test('a row shows who says what, and what of it is trained', () => {
  expect(
    said(
      {
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b', reasoning_content: 'hm' },
        ],
      },
      null,
    ),
  ).toEqual(['user: a', 'assistant*: hm\nb']);
  expect(
    said(
      {
        conversations: [
          { from: 'human', value: 'a' },
          { from: 'gpt', value: 'b' },
        ],
      },
      null,
    ),
  ).toEqual(['user: a', 'assistant*: b']);
  expect(said({ instruction: 'a', input: '', output: 'b' }, null)).toEqual(['user: a', 'assistant*: b']);
  expect(said({ prompt: [{ role: 'user', content: 'a' }], completion: 'b' }, null)).toEqual(['user: a', 'assistant*: b']);
  expect(said({ text: 'all' }, null)).toEqual(['text*: all']);
  expect(said({ ticket: 'a', reply: { b: 1 } }, null)).toEqual(['ticket: a', 'reply: {"b":1}']);
  const row = { q: 'a', meta: { answer: 'b' } };
  expect(said(row, { question: { template: 'Q: {q}' }, answer: 'meta.answer', system: { constant: 's' } })).toEqual([
    'system: s',
    'user: Q: a',
    'assistant*: b',
  ]);
  expect(said(row, { question: null, answer: 'q', system: null })).toEqual(['text*: a']);
});
