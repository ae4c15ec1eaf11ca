/** Reads the inside of a JSON string byte by byte: UTF-8, escapes and pairs of surrogates. */
import type { Automaton } from './automaton.ts';
import { Term, type Grammar } from './terms.ts';

/** Says how far a character has been read: not at all, some bytes of UTF-8, or a part of an escape. */
type Reading =
  | { readonly at: 'between' | 'escape' }
  /** `left` bytes are missing of a code point, of which `value` are the bits so far; with fewer bytes come those below `from`. */
  | { readonly at: 'utf8'; readonly left: number; readonly value: number; readonly from: number }
  /** `left` digits are missing after `\u`. `high` is the surrogate before it, or 0. */
  | { readonly at: 'hex'; readonly left: number; readonly value: number; readonly high: number }
  /** A high surrogate needs the low one, which starts with these characters. */
  | { readonly at: 'backslash' | 'u'; readonly high: number };

const between: Reading = { at: 'between' };
const escapes = new Map(
  Object.entries({ '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }).map(
    ([letter, character]) => [letter.charCodeAt(0), character.charCodeAt(0)] as const,
  ),
);
const quote = 0x22;
const backslash = 0x5c;
const letterU = 0x75;

/** Says what follows a string. */
export interface AfterText {
  readonly key: string;
  /** Gives a number of tokens that are enough for what follows. */
  readonly least: number;
  /** Returns what follows the text, which is null where it was not followed. */
  term(text: string | null): Term;
}

/** Says where in a string its rest begins. */
interface Place {
  readonly automaton: Automaton;
  readonly state: number;
  readonly reading: Reading;
  /** Holds the text so far, or null where it makes no difference. */
  readonly text: string | null;
  readonly after: AfterText | null;
}

/** Is the rest of a JSON string: what an automaton allows from a state on, the quotation mark, and what follows. */
export class TextTerm extends Term {
  readonly isNullable = false;
  readonly #place: Place;

  private constructor(grammar: Grammar, place: Place) {
    super(grammar);
    this.#place = place;
  }

  /** Returns the rest of a string from its beginning on. Only where something depends on its text is that followed. */
  static begin(grammar: Grammar, automaton: Automaton, after: AfterText | null = null): Term {
    const text = after === null ? null : '';
    return TextTerm.#of(grammar, { automaton, state: automaton.start, reading: between, text, after });
  }

  static #of(grammar: Grammar, place: Place): Term {
    const { automaton, state, reading, text, after } = place;
    const key = `text ${JSON.stringify([automaton.key, state, Object.values(reading), text, after?.key])}`;
    return grammar.term(key, () => new TextTerm(grammar, place));
  }

  /** Returns the string at a place that differs from this one in what is given. */
  #at(change: Partial<Place>): Term {
    return TextTerm.#of(this.grammar, { ...this.#place, ...change });
  }

  protected derive(byte: number): Term {
    const { automaton, state, reading } = this.#place;
    switch (reading.at) {
      case 'between':
        if (byte === quote) return automaton.accepts(state) ? this.#end() : this.grammar.none;
        if (byte === backslash) return this.#read({ at: 'escape' });
        if (byte < 0x20) return this.grammar.none;
        if (byte < 0x80) return this.#take(byte);
        if (byte >= 0xc2 && byte < 0xe0) return this.#read({ at: 'utf8', left: 1, value: byte & 0x1f, from: 0x80 });
        if (byte >= 0xe0 && byte < 0xf0) return this.#read({ at: 'utf8', left: 2, value: byte & 0x0f, from: 0x800 });
        if (byte >= 0xf0 && byte < 0xf5) return this.#read({ at: 'utf8', left: 3, value: byte & 0x07, from: 0x10000 });
        return this.grammar.none;
      case 'utf8': {
        if (byte < 0x80 || byte > 0xbf) return this.grammar.none;
        const value = (reading.value << 6) | (byte & 0x3f);
        if (reading.left > 1) return this.#read({ ...reading, left: reading.left - 1, value });
        return isCharacter(value) && value >= reading.from ? this.#take(value) : this.grammar.none;
      }
      case 'escape': {
        if (byte === letterU) return this.#read({ at: 'hex', left: 4, value: 0, high: 0 });
        const character = escapes.get(byte);
        return character === undefined ? this.grammar.none : this.#take(character);
      }
      case 'backslash':
        return byte === backslash ? this.#read({ at: 'u', high: reading.high }) : this.grammar.none;
      case 'u':
        return byte === letterU ? this.#read({ at: 'hex', left: 4, value: 0, high: reading.high }) : this.grammar.none;
      case 'hex': {
        const digit = parseInt(String.fromCharCode(byte), 16);
        if (Number.isNaN(digit)) return this.grammar.none;
        const value = reading.value * 16 + digit;
        if (reading.left > 1) return this.#read({ ...reading, left: reading.left - 1, value });
        if (reading.high > 0) return isLow(value) ? this.#take(joined(reading.high, value)) : this.grammar.none;
        if (isHigh(value)) return this.#read({ at: 'backslash', high: value });
        return isLow(value) ? this.grammar.none : this.#take(value);
      }
    }
  }

  #end(): Term {
    const { after, text } = this.#place;
    return after === null ? this.grammar.empty : after.term(text);
  }

  #read(reading: Reading): Term {
    return this.#at({ reading });
  }

  #take(codePoint: number): Term {
    const { automaton, state: before, text } = this.#place;
    const state = automaton.next(before, codePoint);
    if (state === -1) return this.grammar.none;
    return this.#at({ state, reading: between, text: text === null ? null : text + String.fromCodePoint(codePoint) });
  }

  protected override blur(): Term {
    const { automaton, state } = this.#place;
    return this.#at({ ...automaton.within?.(state, this.grammar.longest), text: null });
  }

  /** Counts a token for each byte that is missing of a character, then those that the automaton needs, and the quotation mark. */
  protected computeLeast(): number {
    const { reading, after } = this.#place;
    return this.#leastOf(reading) + 1 + (after?.least ?? 0);
  }

  #leastOf(reading: Reading): number {
    switch (reading.at) {
      case 'between':
        return this.#place.automaton.least(this.#place.state);
      case 'utf8': {
        const low = reading.value << (6 * reading.left);
        return reading.left + this.#nearest(Math.max(low, reading.from), low + (1 << (6 * reading.left)) - 1);
      }
      case 'escape': {
        const short = [...escapes.values()].map((each) => 1 + this.#nearest(each, each));
        return Math.min(...short, 1 + this.#leastOf({ at: 'hex', left: 4, value: 0, high: 0 }));
      }
      case 'backslash':
        return 6 + this.#nearestPair(reading.high, reading.high);
      case 'u':
        return 5 + this.#nearestPair(reading.high, reading.high);
      case 'hex': {
        const low = reading.value * 16 ** reading.left;
        const high = low + 16 ** reading.left - 1;
        if (reading.high > 0) {
          const [first, last] = [Math.max(low, 0xdc00), Math.min(high, 0xdfff)];
          return reading.left + this.#nearest(joined(reading.high, first), joined(reading.high, last), first <= last);
        }
        const [first, last] = [Math.max(low, 0xd800), Math.min(high, 0xdbff)];
        const pair = first <= last ? 6 + this.#nearestPair(first, last) : Infinity;
        return reading.left + Math.min(this.#nearest(low, high), pair);
      }
    }
  }

  /** Returns what the automaton needs after the nearest of these code points, surrogates left out. */
  #nearest(low: number, high: number, isAny = low <= high): number {
    if (!isAny) return Infinity;
    const { automaton, state } = this.#place;
    const last = Math.min(high, 0x10ffff);
    const ranges = [
      [low, Math.min(last, 0xd7ff)],
      [Math.max(low, 0xe000), last],
    ] as const;
    return Math.min(...ranges.map(([from, to]) => (from <= to ? automaton.nearest(state, from, to) : Infinity)));
  }

  /** Returns what the automaton needs after the nearest of the code points that begin with these high surrogates. */
  #nearestPair(low: number, high: number): number {
    return this.#nearest(joined(low, 0xdc00), joined(high, 0xdfff));
  }
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function isCharacter(codePoint: number): boolean {
  return codePoint <= 0x10ffff && !isHigh(codePoint) && !isLow(codePoint);
}

function joined(high: number, low: number): number {
  return 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
}
