import { expect, test } from 'vitest';
import { pastedFormat } from './pasted-format.ts';

test.each([
  ['{"a": 1}\n{"a": 2}', 'json'],
  [' [\n {"a": 1} ]', 'json'],
  ['question,answer\nWho?,Me.', 'csv'],
  ['question\tanswer\nWho?\tMe, myself.', 'csv'],
  ['question\tanswer\nWhat?\tThat\n"multi\nline"\tok', 'csv'],
  ['question\tanswer\r\n"a ""b""\r\n\r\nc"\t"1\t2"\r\n', 'csv'],
  ['a;b\n"x;\ny";z\n', 'csv'],
  ['a,b\n5" pipe,cheap\n', 'csv'],
  ['She said, "no,\nnever"\nand went, alone.\nThe end', 'text'],
  ['"Open, never closed\nnext line', 'text'],
  ['Dear all, we begin.\nIt rains.', 'text'],
  ['One line, alone', 'text'],
  ['', 'text'],
] as const)('%j is taken for %s', (text, format) => expect(pastedFormat(text)).toBe(format));
