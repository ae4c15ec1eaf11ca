import { expect, test } from 'vitest';
import { mappingFault } from './mapping-fault.ts';

test('a mapping is whole when each part comes from something', () => {
  expect(mappingFault({ question: 'q', answer: 'a', system: { constant: 'Be kind.' } })).toBeNull();
  expect(mappingFault({ question: null, answer: { template: '{q} {a}' }, system: 'q' })).toBeNull();
  expect(mappingFault({ question: 'q', answer: '', system: null })).toBe('Choose the column of the answer.');
  expect(mappingFault({ question: 'q', answer: 'q', system: null })).toBe('The column q is used twice.');
  expect(mappingFault({ question: { template: 'no column {{x}}' }, answer: 'a', system: null })).toContain('question names no');
  expect(mappingFault({ question: 'q', answer: 'a', system: { constant: '' } })).toBe('Type the text of the system prompt.');
});
