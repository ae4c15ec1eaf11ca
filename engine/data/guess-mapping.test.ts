import { expect, test } from 'vitest';
import { guessMapping } from './guess-mapping.ts';

const texts = (...names: string[]) => names.map((name) => ({ name, example: 'Where is my parcel?' }));

test('fields are guessed by their names, and nothing twice', () => {
  expect(guessMapping(texts('id', 'customer_question', 'our_reply'))).toEqual({
    question: 'customer_question',
    answer: 'our_reply',
    system: null,
  });
  expect(guessMapping(texts('Prompt', 'Response', 'System'))).toEqual({
    question: 'Prompt',
    answer: 'Response',
    system: 'System',
  });
  expect(guessMapping(texts('a', 'b'))).toEqual({ question: null, answer: null, system: null });
});

test('a number is no question', () => {
  const columns = [{ name: 'ticket_id', example: '10482' }, ...texts('ticket_text', 'reply')];
  expect(guessMapping(columns)).toEqual({ question: 'ticket_text', answer: 'reply', system: null });
});
