/** Finds the tokens that end an answer in a text. */
import type { Tokenizer } from './tokenizer.ts';

/** Knows the added tokens of a tokenizer by their text, and which of them end an answer. */
export class EndTokens {
  readonly #added: ReadonlyMap<string, number>;
  readonly #stops: ReadonlySet<number>;
  /** Holds the lengths of the added tokens, longest first. */
  readonly #lengths: readonly number[];

  constructor({ addedTokens, stopTokens }: Pick<Tokenizer, 'addedTokens' | 'stopTokens'>) {
    this.#added = new Map([...addedTokens].map(([id, text]) => [text, id]));
    this.#stops = new Set(stopTokens);
    this.#lengths = [...new Set([...addedTokens.values()].map((text) => text.length))].sort((a, b) => b - a);
  }

  /**
   * Finds the end of a turn that begins at `from` and reaches to the end of the text. After the turn's content come only added
   * tokens and white space; `tail` is where these begin, and `end` is behind the first of them that ends an answer. Returns
   * null where there is no such token.
   */
  find(text: string, from: number): { readonly tail: number; readonly end: number } | null {
    let at = text.length;
    let end: number | null = null;
    for (;;) {
      const blank = from + text.slice(from, at).trimEnd().length;
      const length = this.#lengths.find((size) => blank - size >= from && this.#added.has(text.slice(blank - size, blank)));
      if (length === undefined) return end === null ? null : { tail: blank, end };
      at = blank - length;
      if (this.#stops.has(this.#added.get(text.slice(at, blank))!)) end = blank;
    }
  }

  /** Returns the token at the beginning of a text if it ends an answer, otherwise null. */
  startOf(text: string): string | null {
    const length = this.#lengths.find((size) => this.#added.has(text.slice(0, size)));
    const token = length === undefined ? null : text.slice(0, length);
    return token !== null && this.#stops.has(this.#added.get(token)!) ? token : null;
  }
}
