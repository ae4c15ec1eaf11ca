import { expect, test } from 'vitest';
import { rowNumber } from './row-number.ts';

test.each([
  ['1', 15, { row: 0 }],
  [' 1,200 ', 2000, { row: 1199 }],
  ['15', 15, { row: 14 }],
  ['16', 15, { refused: 'There are 15 rows' }],
  ['99999', 1, { refused: 'There is 1 row' }],
  ['0', 40, { refused: 'The first is 1' }],
  ['-3', 40, { refused: 'Type a number' }],
  ['two', 40, { refused: 'Type a number' }],
  ['', 40, { refused: 'Type a number' }],
])('the number %j among %i rows is %j', (typed, total, found) => expect(rowNumber(typed, total)).toEqual(found));
