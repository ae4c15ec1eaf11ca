import { expect, test } from 'vitest';
import { fieldsFound } from './fields.ts';

test('counts required fields and others apart, and only in a JSON object', () => {
  const required = ['item', 'count'];
  expect(fieldsFound('{"item":"lid","count":2}', required)).toEqual({ found: 2, others: 0 });
  expect(fieldsFound(' {"item":"lid","toString":1}\n', required)).toEqual({ found: 1, others: 1 });
  for (const answer of ['Sure! {"item":"lid"}', '["item","count"]', 'null', '{"item":'])
    expect(fieldsFound(answer, required)).toBeNull();
});
