/** Decodes text in UTF-16 while it is read. */
import { Problem } from '../../problem.ts';
import { linesIn, type Piece, skippingTo } from './bytes.ts';

export interface Utf16 {
  readonly name: string;
  /**
   * Returns the text as UTF-8 from its byte `start` on. Places count bytes of UTF-8; `onRead` receives the number of bytes that
   * were read.
   */
  readonly decoded: (
    path: string,
    pieces: AsyncIterable<Piece>,
    from: { readonly start: number; readonly onRead: (bytes: number) => void },
  ) => AsyncGenerator<Piece>;
}

/** This many characters of a text without a byte order mark are examined. */
const charactersLookedAt = 64;

/** Returns how a text that begins with `beginning` is decoded, or null where it is not UTF-16. */
export function utf16Of(beginning: Buffer): Utf16 | null {
  const order = orderOf(beginning);
  if (order === null) return null;
  const name = order === 'le' ? 'UTF-16 (little endian)' : 'UTF-16 (big endian)';
  const decoded: Utf16['decoded'] = (path, pieces, { start, onRead }) => skippingTo(start, decode(path, pieces, order, onRead));
  return { name, decoded };
}

function orderOf(bytes: Buffer): 'le' | 'be' | null {
  // UTF-32 begins like this; it is refused by name elsewhere.
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.length >= 4 && bytes[2] === 0 && bytes[3] === 0 ? null : 'le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'be';
  const pairs = Math.min(charactersLookedAt, bytes.length >> 1);
  const zeros = [0, 0];
  for (let i = 0; i < 2 * pairs; i++) if (bytes[i] === 0) zeros[i % 2]!++;
  // Brackets, quotes and letters, with which rows begin, have 0 as their other byte.
  if (pairs >= 2 && zeros[1]! > pairs / 2 && zeros[0] === 0) return 'le';
  if (pairs >= 2 && zeros[0]! > pairs / 2 && zeros[1] === 0) return 'be';
  return null;
}

async function* decode(
  path: string,
  pieces: AsyncIterable<Piece>,
  order: 'le' | 'be',
  onRead: (bytes: number) => void,
): AsyncGenerator<Piece> {
  const decoder = new TextDecoder(`utf-16${order}`, { fatal: true });
  let at = 0;
  let line = 1;
  const write = (text: string): Piece => {
    const bytes = Buffer.from(text);
    const piece = { bytes, at };
    at += bytes.length;
    line += linesIn(bytes);
    return piece;
  };
  const decodedOf = (bytes: Buffer | undefined, before: number): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (cause) {
      throw new Problem(
        'data-invalid',
        `'${path}' is UTF-16, and what follows line ${line}, after byte ${before}, is no text: half of a character.`,
        'Save the file as UTF-8 with the program that made it.',
        { cause },
      );
    }
  };
  let read = 0;
  for await (const { bytes } of pieces) {
    const text = decodedOf(bytes, read);
    read += bytes.length;
    onRead(read);
    yield write(text);
  }
  const rest = decodedOf(undefined, read);
  if (rest !== '') yield write(rest);
}
