import { expect, test } from 'vitest';
import { changeableTexts, differencesOf, parseRecord, withText } from './record-fields.ts';

const record = {
  messages: [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b', weight: 1 },
  ],
  id: 3,
  empty: '',
};

test('texts are changed at their place, and nothing else', () => {
  expect(changeableTexts(record).map(({ name, role, text }) => `${name} ${role}=${text}`)).toEqual([
    'messages.0.content user=a',
    'messages.1.content assistant=b',
    'empty =',
  ]);
  // A column that is called so is a text of its own.
  expect(changeableTexts({ role: 'a' })).toMatchObject([{ name: 'role', text: 'a' }]);
  const changed = withText(record, ['messages', '1', 'content'], 'c');
  expect(changed).toEqual({ ...record, messages: [record.messages[0], { role: 'assistant', content: 'c', weight: 1 }] });
  expect(Array.isArray(changed.messages)).toBe(true);
  expect(differencesOf(record, changed)).toEqual([{ name: 'messages.1.content', before: 'b', after: 'c' }]);
});

test('what comes and what goes is told', () => {
  expect(differencesOf({ a: 1, b: [1] }, { a: '1', b: [1, 2], c: null })).toEqual([
    { name: 'a', before: '1', after: '1' },
    { name: 'b.1', before: null, after: '2' },
    { name: 'c', before: null, after: 'null' },
  ]);
  expect(differencesOf(record, { ...record })).toEqual([]);
});

test('a row is an object of JSON', () => {
  expect(parseRecord('{"a": 1}')).toEqual({ record: { a: 1 } });
  expect(parseRecord('[1]')).toEqual({ error: expect.stringContaining('object') as unknown });
  expect(parseRecord('{"a": ')).toEqual({ error: expect.stringMatching(/not JSON yet/) as unknown });
});
