import { expect, test } from 'vitest';
import { ago, bytes, duration, figure, fraction, isolated, large, loss, percent, plural } from './format.ts';

const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

test('numbers have at most four significant digits', () => {
  expect([0, 2e-4, 0.37124, 12.3456, 2980, 0.0000298].map((value) => figure(value))).toEqual([
    '0',
    '2e-4',
    '0.3712',
    '12.35',
    '2,980',
    '2.98e-5',
  ]);
  expect(loss(0.5)).toBe('0.500');
  expect(loss(Number.NaN)).toBe('not a number');
  expect(plain(large(18_464_768))).toBe('18.46 M');
  expect(plain(large(999_999))).toBe('1 M');
  expect(large(9_999)).toBe('9,999');
});

test('sizes, shares and durations carry their unit', () => {
  expect([0, 999, 1000, 98_000_000, 999_600_000, 7_120_000_000].map((value) => plain(bytes(value)))).toEqual([
    '0 B',
    '999 B',
    '1.00 kB',
    '98.0 MB',
    '1.00 GB',
    '7.12 GB',
  ]);
  expect(plain(percent(0.9793))).toBe('97.9 %');
  expect(fraction(100_000 / 400_000_000)).toBe('1/4000');
  expect([0.44, 41, 59.7, 388, 3600, 11_100].map((seconds) => plain(duration(seconds)))).toEqual([
    '0.4 s',
    '41 s',
    '1 min',
    '6 min 28 s',
    '1 h',
    '3 h 5 min',
  ]);
  expect(plain(plural(1, 'row'))).toBe('1 row');
  expect(plain(plural(4330, 'row'))).toBe('4,330 rows');
});

test('times are relative at first and dates later', () => {
  const now = Date.UTC(2026, 5, 30, 12);
  expect([10, 300, 7200, 100_000, 300_000, 3_000_000].map((seconds) => plain(ago(now - seconds * 1000, now)))).toEqual([
    'just now',
    '5 min ago',
    '2 h ago',
    'yesterday',
    '3 days ago',
    '26 May 2026',
  ]);
});

test('a name cannot turn the words around it', () => {
  expect(['json-r16', 'Übung 3 (neu)', '日本語'].map(isolated)).toEqual(['json-r16', 'Übung 3 (neu)', '日本語']);
  expect(isolated('\u202efdp.exe')).toBe('\u2068\u202efdp.exe\u2069');
  expect(isolated('طلبات')).toBe('\u2068طلبات\u2069');
  // A mark of its own must not end the isolation early.
  expect(isolated('a\u2069\u202eb')).toBe('\u2068a\u202eb\u2069');
});
