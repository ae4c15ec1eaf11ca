/** Holds the tokens of a tokenizer as a tree of their bytes. */
import type { Tokenizer } from '../../data/tokenizer.ts';
import { Problem } from '../../problem.ts';

/**
 * Each of these bytes must be a token: ASCII and what goes on with a character of UTF-8. Then everything that was begun can be
 * brought to an end. Bytes that begin a rare character may be missing, as in SmolLM2.
 */
const needed = [...range(0x20, 0x7e), ...range(0x80, 0xbf)].map((byte) => String.fromCharCode(byte));

/**
 * Holds the tokens sorted by their bytes, and the tree of these bytes in preorder: the children of node `i` begin at `i + 1`,
 * and `end[i]` is the first node that is not below it. Node 0 is the root, which has no byte.
 */
export class Vocabulary {
  /** Holds the ids, sorted by bytes. Those that end at node `i` are from `first[i]` to `first[i + 1]`. */
  readonly ids: Uint32Array;
  readonly first: Uint32Array;
  readonly byte: Uint8Array;
  readonly depth: Uint16Array;
  readonly end: Uint32Array;
  /** Gives the length of the longest token in bytes. */
  readonly longest: number;
  readonly stops: readonly number[];
  readonly #bytes: ReadonlyMap<number, string>;
  readonly #least = new Map<string, number>([['', 0]]);

  constructor({ stopTokens, ...tokenizer }: Pick<Tokenizer, 'stopTokens'> & { readonly bytes: ReadonlyMap<number, string> }) {
    this.#bytes = tokenizer.bytes;
    this.stops = stopTokens;
    const stops = new Set(stopTokens);
    const sorted = [...this.#bytes].filter(([id, bytes]) => bytes !== '' && !stops.has(id));
    sorted.sort(([, a], [, b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.ids = Uint32Array.from(sorted, ([id]) => id);
    const [byte, depth, end, first] = [[0], [0], [0], [0]] as [number[], number[], number[], number[]];
    /** Holds the node at each depth of the token before. */
    const path = [0];
    let before = '';
    for (const [i, [, bytes]] of sorted.entries()) {
      let same = 0;
      while (same < before.length && before[same] === bytes[same]) same++;
      while (path.length > same + 1) end[path.pop()!] = byte.length;
      for (let at = same; at < bytes.length; at++) {
        path.push(byte.length);
        byte.push(bytes.charCodeAt(at));
        depth.push(at + 1);
        end.push(0);
        first.push(i);
      }
      before = bytes;
    }
    for (const node of path) end[node] = byte.length;
    first.push(sorted.length);
    this.byte = Uint8Array.from(byte);
    this.depth = Uint16Array.from(depth);
    this.end = Uint32Array.from(end);
    this.first = Uint32Array.from(first);
    this.longest = depth.reduce((a, b) => Math.max(a, b), 0);
    const missing = needed.find((each) => this.#child(0, each.charCodeAt(0)) === 0 || this.#leastTokens(each) > 1);
    if (missing !== undefined)
      throw new Problem(
        'tokenizer-unsupported',
        `The tokenizer has no token for the byte 0x${missing.charCodeAt(0).toString(16)}, so an answer cannot be held to a schema.`,
        'Use a model whose tokenizer has a token for every byte.',
      );
  }

  /** Returns the bytes of a token, one character for each; a token that writes no text has none. */
  bytesOf(token: number): string {
    return this.#bytes.get(token) ?? '';
  }

  /** Returns the least number of tokens that write these bytes, or Infinity. */
  leastTokens(bytes: string): number {
    return this.#least.get(bytes) ?? this.#leastTokens(bytes);
  }

  #leastTokens(bytes: string): number {
    const least = new Array<number>(bytes.length + 1).fill(Infinity);
    least[bytes.length] = 0;
    for (let from = bytes.length - 1; from >= 0; from--) {
      for (let node = 0, at = from; at < bytes.length; at++) {
        node = this.#child(node, bytes.charCodeAt(at));
        if (node === 0) break;
        if (this.first[node + 1]! > this.first[node]!) least[from] = Math.min(least[from]!, 1 + least[at + 1]!);
      }
      this.#least.set(bytes.slice(from), least[from]!);
    }
    return least[0]!;
  }

  /** Returns the child of a node with a byte, or 0. */
  #child(node: number, byte: number): number {
    const end = this.end[node]!;
    for (let child = node + 1; child < end; child = this.end[child]!) if (this.byte[child] === byte) return child;
    return 0;
  }
}

const opened = new WeakMap<Tokenizer, Vocabulary>();

/** Returns the tree of a tokenizer's tokens, which is made once. */
export function vocabularyOf(tokenizer: Tokenizer): Vocabulary {
  let vocabulary = opened.get(tokenizer);
  if (vocabulary === undefined) {
    vocabulary = new Vocabulary({ stopTokens: tokenizer.stopTokens, bytes: tokenizer.tokenBytes() });
    opened.set(tokenizer, vocabulary);
  }
  return vocabulary;
}

function range(low: number, high: number): number[] {
  return Array.from({ length: high - low + 1 }, (_, i) => low + i);
}
