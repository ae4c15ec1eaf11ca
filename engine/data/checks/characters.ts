/** Checks for characters that are in a text by mistake. */
import { codePoint, unseenIn } from '../../unseen-characters.ts';
import type { TextCheck } from './check.ts';

/** Returns the texts that contain anything but printable ASCII. Most checks of characters can find nothing in the others. */
const unusual = (texts: readonly string[]): readonly string[] => texts.filter((text) => /[^\x20-\x7e\t\n\r]/.test(text));

/**
 * Finds UTF-8 that was read as Latin-1 or Windows-1252. The first byte of a character became one of À to ô, and the following
 * bytes became what these encodings have from 0x80 to 0xBF. A letter followed by a quotation mark looks the same (`É”`), so
 * such marks count only where the first byte allows no doubt, and bytes of other scripts only twice in a row.
 */
const mojibake = (() => {
  const latin1 = '\\x80-\\xbf';
  const windows = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ';
  const next = `[${latin1}${windows}]`;
  const noMark = `[\\x80-\\x9f\\xa1-\\xa6\\xa8-\\xaa\\xac-\\xb1\\xb4-\\xb6\\xb8-\\xba\\xbc-\\xbf€ƒˆŠŒŽ˜šœžŸ]`;
  return new RegExp(
    [
      `Ã(?:${noMark}|[\\xa0\\xa7\\xab\\xb3‰‡†‚„](?=[a-zà-ÿ ]|$)|\\xbb(?=[a-zà-ÿ]))`,
      `Â[\\xa0-\\xbf]`,
      `[ÄÅ](?:[\\x80-\\x9f\\xa1\\xa3\\xa5\\xb0\\xb1\\xba\\xbc\\xbe‚‡ˆŒŽ›˜Ÿ™]|[„…“](?=[a-z]))`,
      `â(?:[\\x80-\\x84\\x86\\x9c\\x9d€‚„†œ]${next})`,
      `(?:[ÎÏÐÑ×ØÙ]${next}){2}`,
      `(?:[ã-í]${next}${next}){2}`,
      `à[¤¥¦§¨©ª¸¹]${next}`,
      `ð[\\x9fŸ]${next}${next}`,
    ].join('|'),
  );
})();

export const mojibakeText: TextCheck = {
  ...{ looksAt: 'text', name: 'mojibake', severity: 'warning', fix: { kind: 'replace' } },
  why: 'The file was read in another encoding once and saved so; the model learns to write it.',
  find: ({ texts }) => [
    ...new Set(
      unusual(texts)
        .map((text) => mojibake.exec(text)?.[0])
        .filter((found) => found !== undefined),
    ),
  ],
  title: (counted) => `${counted} with letters of a wrong encoding`,
  advice: 'Write the file again from its source as UTF-8.',
};

export const replacementCharacters: TextCheck = {
  ...{ looksAt: 'text', name: 'invalid-unicode', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'U+FFFD stands for characters that were lost; the model learns to write it.',
  find: ({ texts }) => (unusual(texts).some((text) => text.includes('\ufffd')) ? ['U+FFFD'] : []),
  title: (counted) => `${counted} with characters that were lost`,
  advice: 'Write the file again from its source, or leave the rows out.',
};

// Tab, line feed and carriage return are allowed; noncharacters are not.
const controls = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]/g;

export const controlCharacters: TextCheck = {
  ...{ looksAt: 'text', name: 'control-characters', severity: 'warning', fix: { kind: 'replace' } },
  why: 'Control characters, marks of direction and characters without width change what is read, and the model learns to write them.',
  find: ({ texts }) => [
    ...new Set(
      unusual(texts)
        .flatMap((text) => [...new Set(text.match(controls)), ...unseenIn(text)])
        .map(codePoint),
    ),
  ],
  title: (counted) => `${counted} with characters that nobody sees`,
  advice: 'Replace them with a space or with nothing.',
};
