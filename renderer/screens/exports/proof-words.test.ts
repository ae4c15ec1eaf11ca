import { expect, test } from 'vitest';
import type { ExportRecord, ProofCheck } from '../../../engine/contract.ts';
import { limitText, outcomeText, survival, valueText, warning } from './proof-words.ts';

const top1 = (value: number): ProofCheck => ({
  name: 'Same most likely token',
  value,
  limit: 0.97,
  text: '',
  passed: value >= 0.97,
});
const record = (state: ExportRecord['state'], ...checks: ProofCheck[]) =>
  ({ state, proof: { checks } }) as unknown as ExportRecord;

test('a share is never rounded up to its limit', () => {
  expect(valueText(top1(0.96999), 0.96999)).toBe('96.99 %');
  expect(limitText(top1(1))).toBe('at least 97 %');
  const difference: ProofCheck = { name: 'Largest logit difference', value: 0.0123, limit: 0.05, text: '', passed: true };
  expect(`${valueText(difference, 0.0123)}, ${limitText(difference)}`).toBe('0.012, at most 0.05');
});

test('what neither side has is not called the same', () => {
  const tokenizer: ProofCheck = { name: 'Tokenizer', value: null, limit: null, text: '', passed: true };
  expect(outcomeText(tokenizer)).toBe('same');
  expect(outcomeText({ ...tokenizer, passed: false })).toBe('differs');
  const none: ProofCheck = { ...tokenizer, compared: false };
  expect(`${outcomeText(none)}, ${limitText(none)}`).toBe('none, on either side');
});

test('only a kept file that missed a limit is warned of', () => {
  expect(warning(record('done', top1(0.99)))).toBeNull();
  expect(warning(record('failed', top1(0.5)))).toBeNull();
  expect(warning(record('done', top1(0.95)))!.message).toBe(
    'It predicts another next token in 5 % of places; 3 % are allowed.',
  );
});

test('how much of the training survives is said first, and never rounded up', () => {
  const effect = (value: number): ProofCheck => ({
    ...{ name: 'Effect of the adapter', value, limit: 0.9, text: '', passed: value >= 0.9 },
  });
  expect(survival(record('done', top1(1)))).toBeNull();
  expect(survival(record('done', effect(0.99996)))).toEqual({
    text: '99.99 % of what the training changed is in this file.',
    enough: true,
  });
  // An export can be further away than the base itself.
  expect(survival(record('done', effect(-0.4)))!.text).toMatch(/^0 %/);
  expect(warning(record('done', effect(0.85)))!.message).toBe('Only 85 % of what the training changed survives; 90 % should.');
});
