/** Is the inside of objects: which members there are, in which order, and none of them twice. */
import { OtherAutomaton } from './automaton.ts';
import { Term, type Grammar } from './terms.ts';
import { TextTerm } from './text.ts';

/** Says what objects a schema allows. `key` tells them apart. */
export interface ObjectForm {
  readonly key: string;
  readonly comma: Term;
  readonly space: Term;
  readonly members: readonly { readonly start: Term; readonly value: Term; readonly isRequired: boolean }[];
  /** Lists the names of the members, which no other property may have. */
  readonly names: readonly string[];
  readonly others: Term;
}

/** Is the rest of an object, after some of its members and before the comma. Members keep the order of the schema. */
export class MembersTerm extends Term {
  readonly isNullable = false;
  readonly #form: ObjectForm;
  readonly #at: number;
  readonly #isFirst: boolean;
  /** Lists the further properties that the object has, or is null where one of them is not known: then another name may begin, but not end. */
  readonly #others: readonly string[] | null;
  #body: Term | undefined;

  private constructor(grammar: Grammar, form: ObjectForm, at: number, isFirst: boolean, others: readonly string[] | null) {
    super(grammar);
    this.#form = form;
    this.#at = at;
    this.#isFirst = isFirst;
    this.#others = others;
  }

  static begin(grammar: Grammar, form: ObjectForm): Term {
    return MembersTerm.#of(grammar, form, 0, true, []);
  }

  static #of(grammar: Grammar, form: ObjectForm, at: number, isFirst: boolean, others: readonly string[] | null): Term {
    const key = `members ${JSON.stringify([form.key, at, isFirst, others])}`;
    return grammar.term(key, () => new MembersTerm(grammar, form, at, isFirst, others));
  }

  protected derive(byte: number): Term {
    return (this.#body ??= this.#continued()).next(byte);
  }

  #continued(): Term {
    const { grammar } = this;
    const { members } = this.#form;
    const next = this.#next;
    const choices = members.slice(this.#at, next + 1).map(({ start, value }, i) => {
      const after = MembersTerm.#of(grammar, this.#form, this.#at + i + 1, false, this.#others);
      return this.#member(start, value, after);
    });
    if (next === members.length) choices.push(grammar.literal('}'), this.#other());
    return grammar.either(...choices);
  }

  /** Gives the index of the next member that must not be left out. */
  get #next(): number {
    const next = this.#form.members.findIndex(({ isRequired }, i) => i >= this.#at && isRequired);
    return next < 0 ? this.#form.members.length : next;
  }

  #member(...parts: readonly Term[]): Term {
    return this.grammar.sequence(this.#isFirst ? this.grammar.empty : this.#form.comma, ...parts);
  }

  /** Returns a property with a name that the object does not have yet, and what follows it. */
  #other(): Term {
    const { grammar } = this;
    const form = this.#form;
    const others = this.#others;
    if (form.others.least === Infinity) return grammar.none;
    const name = TextTerm.begin(grammar, new OtherAutomaton([...form.names, ...(others ?? [])]), {
      key: `${form.key} ${JSON.stringify(others)}`,
      // One token more leads away from a name that the object may have, where that is not known.
      least: 2 + form.others.least + (others === null ? 1 : 0),
      term(text) {
        if (others === null) return grammar.none;
        const all = text === null ? null : [...others, text];
        const after = MembersTerm.#of(grammar, form, form.members.length, false, all);
        return grammar.sequence(grammar.literal(':'), form.space, form.others, after);
      },
    });
    return this.#member(grammar.literal('"'), name);
  }

  protected computeLeast(): number {
    const next = this.#next;
    const { members } = this.#form;
    if (next === members.length) return 1;
    const { start, value } = members[next]!;
    const after = MembersTerm.#of(this.grammar, this.#form, next + 1, false, this.#others);
    return (this.#isFirst ? 0 : 1) + start.least + value.least + after.least;
  }
}
