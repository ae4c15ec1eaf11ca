import { expect, test } from 'vitest';
import { fraction } from '../../ui/format.ts';
import { adapterParameters, adapterShare, textbook } from './lora-size.ts';

test('the textbook matrix trains a four-thousandth of its size', () => {
  expect(adapterParameters(textbook.linear, textbook.rank)).toBe(100_000);
  expect(fraction(adapterShare(textbook.linear, textbook.rank))).toBe('1/4000');
});
