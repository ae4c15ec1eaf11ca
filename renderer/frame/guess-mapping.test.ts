import { expect, test } from 'vitest';
import { guessMapping } from './guess-mapping.ts';

test('fields are guessed by their names, and nothing twice', () => {
  expect(guessMapping(['id', 'customer_question', 'our_reply'])).toEqual({
    question: 'customer_question',
    answer: 'our_reply',
    system: null,
  });
  expect(guessMapping(['Prompt', 'Response', 'System'])).toEqual({ question: 'Prompt', answer: 'Response', system: 'System' });
  expect(guessMapping(['a', 'b'])).toEqual({ question: null, answer: null, system: null });
});
