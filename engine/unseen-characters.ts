/**
 * Finds characters that nobody sees: those that have no width, and those that change the direction of the text around them. The
 * checks of data and the window find them by the same rule. What a script or an emoji needs is left alone.
 */

/** Matches letters that are written from right to left. The Arabic letter mark, U+061C, is no letter. */
const rightToLeft = /[\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
/**
 * Matches characters that no script needs, and joiners, unless they follow an emoji or a letter of a script that joins letters.
 * Fillers of Hangul are left alone beside the jamo that they complete, a grapheme joiner after a mark, and one variation selector.
 * Tags in the flag of a region are matched with their flag, so that they can be left alone.
 */
const unseen =
  /\u{1f3f4}[\u{e0020}-\u{e007e}]{1,8}\u{e007f}|[\xad\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|[\u200c\u200d](?<!(?:[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{M}]|(?![\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}])\p{L})[\u200c\u200d])|[\u3164\uffa0]|\u115f(?![\u1161-\u11a7\ud7b0-\ud7c6])|\u1160(?<![\u1100-\u115e\ua960-\ua97c]\u1160)|\u034f(?<!(?!\u034f)\p{M}\u034f)|(?<=[\ufe00-\ufe0f\u{e0100}-\u{e01ef}])[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu;
/** Matches marks that tell the direction of what is beside them, which texts from right to left need. */
const directionMarks = /[\u061c\u200e\u200f]/g;
const isFlag = (found: string): boolean => found.startsWith('\u{1f3f4}');

/** Returns the characters in a text that nobody sees, each once. */
export function unseenIn(text: string): string[] {
  const found = (text.match(unseen) ?? []).filter((one) => !isFlag(one));
  return [...new Set([...found, ...(rightToLeft.test(text) ? [] : (text.match(directionMarks) ?? []))])];
}

/** Returns a text with the characters that nobody sees written out, as in `[U+202E]gnp.exe`. */
export function withUnseenShown(text: string): string {
  const written = text.replace(unseen, (one) => (isFlag(one) ? one : `[${codePoint(one)}]`));
  return rightToLeft.test(text) ? written : written.replace(directionMarks, (one) => `[${codePoint(one)}]`);
}

/** Returns how Unicode names a character: `U+202E`. */
export function codePoint(character: string): string {
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
}
