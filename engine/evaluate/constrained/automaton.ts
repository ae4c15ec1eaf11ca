/** Defines which texts a JSON string may hold, as automata over code points. */

/** Is an automaton over code points. Surrogates are none of them, and are never asked for. */
export interface Automaton {
  /** Tells automata apart. */
  readonly key: string;
  readonly start: number;
  accepts(state: number): boolean;
  /** Returns the state after a code point, or -1 where the text may not go on with it. */
  next(state: number, codePoint: number): number;
  /** Returns a number of tokens that are enough to get from a state to one that accepts, or Infinity. */
  least(state: number): number;
  /** Returns the smallest `least` of the states after the code points from `low` to `high`, or Infinity. */
  nearest(state: number, low: number, high: number): number;
  /**
   * Returns an automaton in a state that allows whatever this one allows in the next `longest` code points, and no more; a
   * state that many others are equal to for so long is found faster.
   */
  within?(state: number, longest: number): { readonly automaton: Automaton; readonly state: number };
}

/** Allows texts of `least` to `most` code points. */
export class LengthAutomaton implements Automaton {
  readonly key: string;
  readonly start = 0;
  readonly #least: number;
  readonly #most: number;

  constructor(least: number, most: number) {
    this.key = `length ${least} ${most}`;
    this.#least = least;
    this.#most = most;
  }

  accepts(state: number): boolean {
    return state >= this.#least && state <= this.#most;
  }

  next(state: number): number {
    if (state >= this.#most) return -1;
    return this.#most === Infinity && state === this.#least ? state : state + 1;
  }

  least(state: number): number {
    return this.#least > this.#most ? Infinity : Math.max(0, this.#least - state);
  }

  nearest(state: number): number {
    return state < this.#most ? this.least(state + 1) : Infinity;
  }

  within(state: number, longest: number): { readonly automaton: Automaton; readonly state: number } {
    const isFar = state >= this.#least && this.#most - state > longest;
    return isFar ? { automaton: anyText, state: anyText.start } : { automaton: this, state };
  }
}

/** Allows every text. */
export const anyText: Automaton = new LengthAutomaton(0, Infinity);

/** Allows every text but some. A state is the number of a node in the tree of these, or -2 outside of it. */
export class OtherAutomaton implements Automaton {
  readonly key: string;
  readonly start = 0;
  readonly #nodes: { readonly children: Map<number, number>; isExcluded: boolean }[] = [
    { children: new Map(), isExcluded: false },
  ];

  constructor(excluded: Iterable<string>) {
    this.key = `other ${JSON.stringify([...excluded])}`;
    for (const text of excluded) {
      let node = this.#nodes[0]!;
      for (const character of text) {
        const codePoint = character.codePointAt(0)!;
        let child = node.children.get(codePoint);
        if (child === undefined) {
          child = this.#nodes.push({ children: new Map(), isExcluded: false }) - 1;
          node.children.set(codePoint, child);
        }
        node = this.#nodes[child]!;
      }
      node.isExcluded = true;
    }
  }

  accepts(state: number): boolean {
    return this.#nodes[state]?.isExcluded !== true;
  }

  next(state: number, codePoint: number): number {
    return this.#nodes[state]?.children.get(codePoint) ?? -2;
  }

  least(state: number): number {
    if (this.accepts(state)) return 0;
    // Some letter leads out of the tree, or to a text that is not excluded, unless names are excluded by the hundred.
    const letters = Array.from({ length: 95 }, (_, i) => 0x20 + i).filter((each) => each !== 0x22 && each !== 0x5c);
    return letters.some((each) => this.accepts(this.next(state, each))) ? 1 : 2;
  }

  nearest(state: number, low: number, high: number): number {
    const children = this.#nodes[state]?.children;
    if (children === undefined || children.size <= high - low) return 0;
    let nearest = Infinity;
    for (let codePoint = low; codePoint <= high; codePoint++)
      nearest = Math.min(nearest, this.least(this.next(state, codePoint)));
    return nearest;
  }
}
