import { expect, it } from 'vitest';
import { StopTexts } from './stop-texts.ts';

/** Returns what is passed on of a text in these pieces. */
function passedOn(stops: readonly string[], pieces: readonly string[]): { text: string; isMet: boolean; pieces: string[] } {
  const watch = new StopTexts(stops);
  const passed = pieces.map((piece) => watch.push(piece));
  return { text: passed.join('') + watch.flush(), isMet: watch.isMet, pieces: passed };
}

it('ends a text before the first of its stops, wherever the pieces are cut', () => {
  const text = 'One.\nTwo.\n\nThree. END';
  for (let size = 1; size <= text.length; size++) {
    const pieces = text.match(new RegExp(`[^]{1,${size}}`, 'g'))!;
    expect(passedOn(['END', '\n\n'], pieces)).toMatchObject({ text: 'One.\nTwo.', isMet: true });
    expect(passedOn(['none', 'ENDE'], pieces)).toMatchObject({ text, isMet: false });
    expect(passedOn([], pieces)).toMatchObject({ text, isMet: false, pieces });
  }
});

it('passes on at once what cannot be the beginning of a stop', () => {
  expect(passedOn(['\n\n'], ['a', 'b\n', 'c', '\n', '\n', 'd'])).toMatchObject({ pieces: ['a', 'b', '\nc', '', '', ''] });
});
