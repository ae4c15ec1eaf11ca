/** Counts what makes the style of a text, apart from what it says. */
import { countWords } from './text.ts';

/** Holds a count that is a feature of style: what it is called, and its value. */
export type StyleCounts = Readonly<Record<string, number>>;

const marks = {
  'full stops': /\.(?!\.)/g,
  commas: /,/g,
  'exclamation marks': /!/g,
  'question marks': /\?/g,
  'colons and semicolons': /[:;]/g,
  dashes: /[–—]| - /g,
  ellipses: /…|\.{3}/g,
  quotes: /["“”„«»]/g,
  parentheses: /[()]/g,
  emoji: /\p{Extended_Pictographic}/gu,
  'lines of lists': /^\s*(?:[-*•]|\d+[.)])\s/gm,
  'bold and headings': /\*\*|^#{1,6}\s/gm,
  'line breaks': /\n/g,
  digits: /\d/g,
} as const;

/** Counts lengths and punctuation; marks are counted per word, so that they do not count length once more. */
export function styleOf(text: string): StyleCounts {
  const trimmed = text.trim();
  const words = countWords(trimmed);
  const letters = trimmed.match(/\p{L}/gu)?.length ?? 0;
  const upper = trimmed.match(/\p{Lu}/gu)?.length ?? 0;
  const sentences = Math.max(1, trimmed.match(/[.!?。！？]+(?:\s|$)/gu)?.length ?? 0);
  const perWord = (mark: RegExp): number => (trimmed.match(mark)?.length ?? 0) / Math.max(1, words);
  return {
    'words (log)': Math.log1p(words),
    'words per sentence (log)': Math.log1p(words / sentences),
    'letters per word': letters / Math.max(1, words),
    'capital letters': upper / Math.max(1, letters),
    ...Object.fromEntries(Object.entries(marks).map(([name, mark]) => [name, perWord(mark)])),
  };
}
