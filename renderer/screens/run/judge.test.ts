import { expect, test } from 'vitest';
import { judge } from './judge.ts';

test.each([
  ['{"a": 1, "b": true}', 'as expected'],
  ['{"b":true,"a":1}', 'as expected'],
  ['{"a": 2, "b": true}', '1 of 2 right'],
  ['{"a": 1}', '1 of 2 fields'],
  ['{"a": 1, "b": true, "c": 0}', '2 of 2 fields'],
  ['{"a": 1, "b"', 'broken JSON'],
  ['Sure! Here it is.', 'no JSON'],
])('%s: %s', (answer, text) => expect(judge(answer, '{"a": 1, "b": true}')?.text).toBe(text));

test('words count only when they are the same', () => {
  expect(judge('Yellow. ', 'Yellow.')?.state).toBe('good');
  expect(judge('Red.', 'Yellow.')?.text).toBe('differs');
  expect(judge('Red.', '')).toBeNull();
});
