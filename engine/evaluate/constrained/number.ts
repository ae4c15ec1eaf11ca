/** Writes JSON numbers digit by digit, within bounds. */
import { Term, type Grammar } from './terms.ts';

/** Says which numbers are allowed. */
export interface NumberRange {
  readonly isInteger: boolean;
  readonly minimum: number;
  readonly maximum: number;
  readonly exclusiveMinimum: number;
  readonly exclusiveMaximum: number;
}

/** These forms have few enough digits that each number is finite, and is read as it was meant. */
const integerForm = /^(?:0|-?[1-9]\d{0,17})$/;
const numberForm = /^-?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?(?:[eE][+-]?\d{1,2})?$/;
/** Matches what may become a number; it leaves out the most of what cannot, before endings are tried. */
const beginning = /^-?(?:0|[1-9]\d*)?(?:(?<=\d)\.\d*)?(?:(?<=\d)[eE][+-]?\d*)?$/;

/**
 * Lists endings that are tried to find out whether a text can become an allowed number, shortest first. An ending without its
 * first character is one too, so that each character of an ending leads nearer to its end.
 */
const digits = Array.from({ length: 17 }, (_, zeros) => ['', '1', '5', '9'].map((last) => '0'.repeat(zeros) + last)).flat();
const endings = ['', ...digits, ...digits.slice(1).map((each) => `.${each}`), '-1', '+1'].sort((a, b) => a.length - b.length);

/** Is the rest of a number after the characters that it has so far. */
export class NumberTerm extends Term {
  readonly isNullable: boolean;
  readonly #text: string;
  readonly #range: NumberRange;
  readonly #least: number;

  private constructor(grammar: Grammar, text: string, range: NumberRange) {
    super(grammar);
    this.#text = text;
    this.#range = range;
    this.isNullable = isAllowed(text, range);
    this.#least = shortestEnding(text, range);
  }

  static begin(grammar: Grammar, range: NumberRange): Term {
    return NumberTerm.#of(grammar, '', range);
  }

  static #of(grammar: Grammar, text: string, range: NumberRange): Term {
    return grammar.term(`number ${text} ${Object.values(range).join(' ')}`, () => new NumberTerm(grammar, text, range));
  }

  protected derive(byte: number): Term {
    const text = this.#text + String.fromCharCode(byte);
    return beginning.test(text) ? NumberTerm.#of(this.grammar, text, this.#range) : this.grammar.none;
  }

  protected computeLeast(): number {
    return this.#least;
  }
}

function isAllowed(text: string, range: NumberRange): boolean {
  if (!(range.isInteger ? integerForm : numberForm).test(text)) return false;
  const value = Number(text);
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = range;
  return value >= minimum && value <= maximum && value > exclusiveMinimum && value < exclusiveMaximum;
}

/** Returns the length of the shortest ending that is found for a text, or Infinity. */
function shortestEnding(text: string, range: NumberRange): number {
  let shortest = endings.find((ending) => isAllowed(text + ending, range))?.length ?? Infinity;
  for (const each of near(range))
    if (each.startsWith(text) && isAllowed(each, range)) shortest = Math.min(shortest, each.length - text.length);
  return shortest;
}

/**
 * Lists numbers at the bounds. An integer's beginning that has allowed endings, none of which are zeros alone, is the beginning of
 * one of them.
 */
function near(range: NumberRange): string[] {
  const low = Math.max(range.minimum, range.exclusiveMinimum);
  const high = Math.min(range.maximum, range.exclusiveMaximum);
  const numbers = range.isInteger
    ? [Math.ceil(low), Math.floor(low) + 1, Math.floor(high), Math.ceil(high) - 1]
    : [low, high, low / 2 + high / 2, low + 0.5, high - 0.5];
  return numbers.filter(Number.isFinite).map((each) => (range.isInteger ? integerText(each) : String(each)));
}

function integerText(value: number): string {
  return BigInt(value).toString();
}
