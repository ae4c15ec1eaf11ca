/** Where the tokens that end an answer stand in a text. */
import type { Tokenizer } from './tokenizer.ts';

/** The added tokens of a tokenizer as they stand in a text, and which of them end an answer. */
export class EndTokens {
  readonly #added: ReadonlyMap<string, number>;
  readonly #stops: ReadonlySet<number>;
  /** Lengths of the added tokens, the longest first. */
  readonly #lengths: readonly number[];

  constructor({ addedTokens, stopTokens }: Pick<Tokenizer, 'addedTokens' | 'stopTokens'>) {
    this.#added = new Map([...addedTokens].map(([id, text]) => [text, id]));
    this.#stops = new Set(stopTokens);
    this.#lengths = [...new Set([...addedTokens.values()].map((text) => text.length))].sort((a, b) => b - a);
  }

  /**
   * The end of a turn that begins at `from` and goes on to the end of the text: behind what is said come only added tokens and white
   * space (`tail`), and the first of these tokens that ends an answer is the end. Null when there is none.
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

  /** The token that ends an answer with which the text begins, or null. */
  startOf(text: string): string | null {
    const length = this.#lengths.find((size) => this.#added.has(text.slice(0, size)));
    const token = length === undefined ? null : text.slice(0, length);
    return token !== null && this.#stops.has(this.#added.get(token)!) ? token : null;
  }
}
