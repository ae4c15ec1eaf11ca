/** Is the inside of arrays: how many items there are, and what each of them may be. */
import { Term, type Grammar } from './terms.ts';

/** Says what arrays a schema allows. `key` tells them apart. */
export interface ArrayForm {
  readonly key: string;
  readonly comma: Term;
  readonly first: readonly Term[];
  readonly rest: Term;
  readonly least: number;
  readonly most: number;
}

/** Is the rest of an array, after some items and before the comma. */
export class ItemsTerm extends Term {
  readonly isNullable = false;
  readonly #form: ArrayForm;
  readonly #count: number;
  #body: Term | undefined;

  private constructor(grammar: Grammar, form: ArrayForm, count: number) {
    super(grammar);
    this.#form = form;
    this.#count = count;
  }

  static begin(grammar: Grammar, form: ArrayForm): Term {
    return ItemsTerm.#of(grammar, form, 0);
  }

  static #of(grammar: Grammar, form: ArrayForm, count: number): Term {
    const { first, least, most, key } = form;
    // From here on all items are alike.
    const number = most === Infinity ? Math.min(count, Math.max(first.length, least, 1)) : count;
    return grammar.term(`items ${number} ${key}`, () => new ItemsTerm(grammar, form, number));
  }

  protected derive(byte: number): Term {
    return (this.#body ??= this.#continued()).next(byte);
  }

  #continued(): Term {
    const { grammar } = this;
    const { least, most } = this.#form;
    const end = this.#count >= least ? grammar.literal(']') : grammar.none;
    const item = this.#count < most ? grammar.sequence(...this.#item(this.#count)) : grammar.none;
    return grammar.either(end, item);
  }

  #item(index: number): readonly Term[] {
    const { comma, first, rest } = this.#form;
    const after = ItemsTerm.#of(this.grammar, this.#form, index + 1);
    return [index === 0 ? this.grammar.empty : comma, first[index] ?? rest, after];
  }

  protected computeLeast(): number {
    const { first, rest, least, most } = this.#form;
    if (least > most) return Infinity;
    let tokens = 1;
    for (let i = this.#count; i < least; i++) tokens += (i === 0 ? 0 : 1) + (first[i] ?? rest).least;
    return tokens;
  }
}
