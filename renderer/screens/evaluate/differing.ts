/** Divides two answers to the same question into pieces, and marks those in which they differ. */

/** Is a piece of an answer. `mark` says that the other answer differs here, and whether this one is right. */
export interface Piece {
  readonly text: string;
  readonly kind: 'plain' | 'name';
  readonly mark: 'right' | 'wrong' | null;
}
interface AnswerToMark {
  readonly text: string;
  /** Says whether the whole answer is right, which decides the colour of words. */
  readonly right: boolean;
}

/** Limits the words that are compared; the time grows with their square. */
const mostWords = 1500;

/** Marks the fields of JSON objects that differ, each by whether it is as expected, and the words of other texts. */
export function markedAnswers(a: AnswerToMark, b: AnswerToMark, expected: string): [Piece[], Piece[]] {
  const objects = [a.text, b.text].map(objectIn);
  const [one, two] = objects;
  if (one && two) {
    const wanted = objectIn(expected);
    return [markedObject(one, two, wanted, a.right), markedObject(two, one, wanted, b.right)];
  }
  const [wordsA, wordsB] = [wordsIn(a.text), wordsIn(b.text)];
  if (wordsA.length > mostWords || wordsB.length > mostWords) return [[plain(a.text)], [plain(b.text)]];
  const [sameA, sameB] = commonWords(wordsA, wordsB);
  return [markedWords(wordsA, sameA, a.right), markedWords(wordsB, sameB, b.right)];
}

type JsonObject = Readonly<Record<string, unknown>>;

function objectIn(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;
  } catch {
    return null;
  }
}

function markedObject(own: JsonObject, other: JsonObject, wanted: JsonObject | null, right: boolean): Piece[] {
  const pieces: Piece[] = [plain('{')];
  for (const [name, value] of Object.entries(own)) {
    if (pieces.length > 1) pieces.push(plain(', '));
    const text = JSON.stringify(value);
    const differs = !Object.hasOwn(other, name) || JSON.stringify(other[name]) !== text;
    const isRight = wanted === null ? right : Object.hasOwn(wanted, name) && JSON.stringify(wanted[name]) === text;
    pieces.push({ text: `${JSON.stringify(name)}:`, kind: 'name', mark: null }, plain(' '));
    pieces.push({ text, kind: 'plain', mark: differs ? (isRight ? 'right' : 'wrong') : null });
  }
  return [...pieces, plain('}')];
}

/** Divides a text into words, each with the white space after it. */
function wordsIn(text: string): string[] {
  return text.match(/\S+\s*|\s+/gu) ?? [];
}

/** Returns which words of each belong to the longest common subsequence. */
function commonWords(a: readonly string[], b: readonly string[]): [boolean[], boolean[]] {
  const wide = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * wide);
  const isSame = (i: number, j: number): boolean => a[i]!.trim() === b[j]!.trim();
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i * wide + j] = isSame(i, j)
        ? lengths[(i + 1) * wide + j + 1]! + 1
        : Math.max(lengths[(i + 1) * wide + j]!, lengths[i * wide + j + 1]!);
  const [inA, inB] = [a.map(() => false), b.map(() => false)];
  for (let [i, j] = [0, 0]; i < a.length && j < b.length;)
    if (isSame(i, j)) inA[i++] = inB[j++] = true;
    else if (lengths[(i + 1) * wide + j]! >= lengths[i * wide + j + 1]!) i++;
    else j++;
  return [inA, inB];
}

function markedWords(words: readonly string[], same: readonly boolean[], right: boolean): Piece[] {
  const pieces: Piece[] = [];
  for (const [i, word] of words.entries()) {
    const mark = same[i] === true ? null : right ? 'right' : 'wrong';
    const last = pieces.at(-1);
    if (last?.mark === mark) pieces[pieces.length - 1] = { ...last, text: last.text + word };
    else pieces.push({ text: word, kind: 'plain', mark });
  }
  return pieces;
}

function plain(text: string): Piece {
  return { text, kind: 'plain', mark: null };
}
