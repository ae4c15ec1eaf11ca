/** Ends a text that is written in pieces before the first of several texts. */
export class StopTexts {
  readonly #stops: readonly string[];
  /** Holds what may be the beginning of a stop text, and is therefore not passed on yet. */
  #held = '';
  #isMet = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** Says whether a stop text was found. Nothing is passed on behind it. */
  get isMet(): boolean {
    return this.#isMet;
  }

  /** Takes the next piece, and returns what is certain to stand before every stop text. */
  push(piece: string): string {
    if (this.#isMet || this.#stops.length === 0) return this.#isMet ? '' : piece;
    const text = this.#held + piece;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#isMet = true;
      this.#held = '';
      return text.slice(0, Math.min(...found));
    }
    const kept = Math.max(...this.#stops.map((stop) => longestBeginning(stop, text)));
    this.#held = text.slice(text.length - kept);
    return text.slice(0, text.length - kept);
  }

  /** Returns what was held back, because no more text follows. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }
}

/** Returns the length of the longest end of the text that is a beginning of the stop text, and not all of it. */
function longestBeginning(stop: string, text: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}
