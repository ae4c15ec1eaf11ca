import { expect, test } from 'vitest';
import { pastedFormat } from './pasted-format.ts';

test.each([
  ['{"a": 1}\n{"a": 2}', 'json'],
  [' [\n {"a": 1} ]', 'json'],
  ['question,answer\nWho?,Me.', 'csv'],
  ['question\tanswer\nWho?\tMe, myself.', 'csv'],
  ['Dear all, we begin.\nIt rains.', 'text'],
  ['One line, alone', 'text'],
  ['', 'text'],
] as const)('%j is taken for %s', (text, format) => expect(pastedFormat(text)).toBe(format));
