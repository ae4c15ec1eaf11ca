import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { RowKeys } from './row-keys.ts';

const keyOf = (number: number): Buffer => createHash('sha256').update(String(number)).digest().subarray(0, 16);

it('tells equal keys from others, however many there are', () => {
  const [keys, others] = [new RowKeys(), new RowKeys()];
  for (let i = 0; i < 20_000; i++) expect(keys.add(keyOf(i))).toBe(true);
  for (let i = 0; i < 20_000; i += 7) expect(keys.add(keyOf(i))).toBe(false);
  for (let i = 10_000; i < 30_000; i++) others.add(keyOf(i));
  const shared = Array.from({ length: 20_000 }, (_, i) => i).filter((i) => others.has(keys, i));
  expect([shared.length, shared[0]]).toEqual([10_000, 10_000]);
});

it('tells keys apart that differ in their last byte only', () => {
  const keys = new RowKeys();
  const key = Buffer.alloc(16);
  expect(keys.add(key)).toBe(true);
  key[15] = 1;
  expect(keys.add(key)).toBe(true);
  expect(keys.add(key)).toBe(false);
  keys.repeat();
  expect(keys.length).toBe(4);
  expect(keys.has(keys, 3)).toBe(true);
});
