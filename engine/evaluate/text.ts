/** Takes texts apart into words, and compares them apart from how they are written. */

/** Returns the words of a text in lower case: runs of letters, marks and digits. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
}

const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });

/** Counts the words of a text in any language, also in those that write no spaces. */
export function countWords(text: string): number {
  let count = 0;
  for (const { isWordLike } of segmenter.segment(text)) if (isWordLike === true) count++;
  return count;
}

/** Returns a text without what `text: normalized` passes over: case, white space, forms of letters, punctuation at its ends. */
export function normalized(text: string): string {
  const plain = text.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim();
  return plain.replace(/^["'“”‘’«»„]+|["'“”‘’«».,;:!?。！？„]+$/gu, '');
}

export function asOption(text: string, option: 'exact' | 'normalized'): string {
  return option === 'exact' ? text : normalized(text);
}
