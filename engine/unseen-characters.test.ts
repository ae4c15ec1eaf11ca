import { expect, test } from 'vitest';
import { unseenIn, withUnseenShown } from './unseen-characters.ts';

test('marks that turn a text around and characters without width are found and written out', () => {
  expect(withUnseenShown('evil \u202egnp.exe')).toBe('evil [U+202E]gnp.exe');
  expect(unseenIn('\ufeffa\u200bb\u2066c\u2069\u2060\xad\u200b')).toEqual([
    ...['\ufeff', '\u200b', '\u2066', '\u2069', '\u2060', '\xad'],
  ]);
  expect(withUnseenShown('pay\u200dpal \u200e1')).toBe('pay[U+200D]pal [U+200E]1');
  expect(withUnseenShown('hidden\u{e0041}')).toBe('hidden[U+E0041]');
  expect(withUnseenShown('me \u061c\u200e\xad')).toBe('me [U+061C][U+200E][U+00AD]');
  expect(withUnseenShown('a\u3164\uffa0\u115f\u1160\u034f\u034fb')).toBe('a[U+3164][U+FFA0][U+115F][U+1160][U+034F][U+034F]b');
  expect(withUnseenShown('a\ufe01\u{e0101}')).toBe('a\ufe01[U+E0101]');
});

test.each([
  ['a family as one emoji', '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}'],
  ['an emoji of a skin colour', '\u{1f469}\u{1f3fd}\u200d\u{1f680}'],
  ['a heart with its variation', '\u2764\ufe0f\u200d\u{1f525}'],
  ['the flag of Scotland', '\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}'],
  ['Persian', 'می\u200cخواهم'],
  ['Hindi', 'क्\u200dष'],
  ['Hebrew with a mark of direction', 'שלום!\u200f'],
  ['Arabic and English', 'مرحبا hello'],
  ['Arabic with its letter mark', 'مرحبا\u061c 1'],
  ['a syllable of old Hangul', '\u115f\u1161\u11ab \u1100\u1160\u11ab'],
  ['Hebrew with points in an order of its own', 'ל\u05b7\u034f\u05b4'],
])('what %s needs is left alone', (_, text) => {
  expect(unseenIn(text)).toEqual([]);
  expect(withUnseenShown(text)).toBe(text);
});

test('a text of tags only is read in time', () => {
  const begin = performance.now();
  expect(unseenIn('\u{1f3f4}' + '\u{e0041}'.repeat(200_000))).toEqual(['\u{e0041}']);
  expect(performance.now() - begin).toBeLessThan(2000);
});
