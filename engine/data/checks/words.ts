/** Goes through the words of texts once, for the sketch that finds near duplicates and for the language. */
import { hashEnd, hashStart, hashWith } from './hash.ts';
import { languageOfScript, languagesOfWords, type Script } from './languages.ts';
import { Sketcher } from './sketch.ts';

/** Holds what the words of a row tell about it. Fields are null where there are too few words. */
export interface WordMarks {
  readonly sketch: string | null;
  /** Holds an ISO 639-1 code. */
  readonly language: string | null;
}

/** Limits the number of characters that are examined for the language. */
const languageLength = 4000;

export function readWords(texts: readonly string[]): WordMarks {
  const sketcher = new Sketcher();
  const letters = new Map<Script, number>();
  const scores = new Map<string, number>();
  let words = 0;
  let read = 0;
  const endWord = (hash: number): void => {
    const word = hashEnd(hash);
    sketcher.add(word);
    if (read > languageLength) return;
    words++;
    for (const language of languagesOfWords.get(word) ?? []) scores.set(language, (scores.get(language) ?? 0) + 1);
  };
  for (const text of texts) {
    let hash = hashStart;
    let isWord = false;
    let latin = 0;
    for (let i = 0; i < text.length; i++) {
      let code = text.charCodeAt(i);
      if (code < 0x80) {
        const isLetter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a;
        if (isLetter || (code >= 0x30 && code <= 0x39)) {
          if (isLetter) {
            code |= 0x20;
            latin++;
          }
          hash = hashWith(hash, code);
          isWord = true;
          continue;
        }
      } else {
        const script = scriptOf(code);
        if (script !== null) {
          if (read + i <= languageLength) letters.set(script, (letters.get(script) ?? 0) + 1);
          // These scripts do not separate words by spaces.
          const isWhole = script === 'han' || script === 'kana' || script === 'thai';
          if (isWhole && isWord) endWord(hash);
          hash = hashWith(isWhole ? hashStart : hash, lowered(code));
          isWord = !isWhole;
          if (!isWhole) continue;
          endWord(hash);
          hash = hashStart;
          continue;
        }
      }
      if (!isWord) continue;
      endWord(hash);
      hash = hashStart;
      isWord = false;
    }
    if (isWord) endWord(hash);
    if (read <= languageLength) letters.set('latin', (letters.get('latin') ?? 0) + latin);
    read += text.length;
  }
  return { sketch: sketcher.sketch, language: languageOf(letters, scores, words) };
}

/** Fewer letters are not enough to tell. */
const fewestLetters = 8;
/** A text counts as one of a language if it has this many of its common words, and the share below. */
const fewestHits = 2;
const leastHitShare = 0.06;

function languageOf(letters: Map<Script, number>, scores: Map<string, number>, words: number): string | null {
  const [script, count] = [...letters].reduce((most, one) => (one[1] > most[1] ? one : most), ['latin', 0] as [Script, number]);
  // Some Japanese texts have more Chinese characters than kana, and no Chinese text has any kana.
  const kana = letters.get('kana') ?? 0;
  if (script === 'han' && kana > count / 10) return 'ja';
  if (count < (script === 'han' || script === 'kana' ? fewestLetters / 2 : fewestLetters)) return null;
  const alone = languageOfScript[script];
  if (alone !== undefined) return alone;
  const ranked = [...scores].sort((a, b) => b[1] - a[1]);
  const [first, second] = ranked;
  if (first === undefined || first[1] < fewestHits || first[1] < leastHitShare * words || first[1] === second?.[1]) return null;
  return first[0];
}

/** Returns the lower case of letters that have it at a fixed distance. */
function lowered(code: number): number {
  if ((code >= 0xc0 && code <= 0xde) || (code >= 0x391 && code <= 0x3a9) || (code >= 0x410 && code <= 0x42f))
    return code + 0x20;
  if (code >= 0x400 && code <= 0x40f) return code + 0x50;
  if (code >= 0x100 && code <= 0x137 && code % 2 === 0) return code + 1;
  return code;
}

/** Returns the script of a letter beyond ASCII by its UTF-16 unit, or null for other characters. */
function scriptOf(code: number): Script | null {
  if (code < 0x250) return code >= 0xc0 && code !== 0xd7 && code !== 0xf7 ? 'latin' : null;
  if (code < 0x370) return code >= 0x300 ? 'latin' : null;
  if (code < 0x400) return 'greek';
  if (code < 0x530) return 'cyrillic';
  if (code < 0x590) return 'other';
  if (code < 0x600) return 'hebrew';
  if (code < 0x780) return 'arabic';
  if (code < 0x900) return 'other';
  if (code < 0x980) return 'devanagari';
  if (code < 0xe00) return 'other';
  if (code < 0xe80) return 'thai';
  if (code < 0x1100) return 'other';
  if (code < 0x1200) return 'hangul';
  if (code < 0x1e00) return 'other';
  if (code < 0x2000) return code < 0x1f00 ? 'latin' : 'greek';
  if (code < 0x3040) return null;
  if (code < 0x3100) return 'kana';
  if (code < 0x3400) return null;
  if (code < 0xa000) return 'han';
  if (code < 0xac00) return 'other';
  if (code < 0xd7b0) return 'hangul';
  return code >= 0xf900 && code < 0xfb00 ? 'han' : null;
}
