/**
 * Defines languages of bytes as terms with derivatives (Brzozowski): the derivative of a term by a byte is the term for what may
 * follow that byte. Terms of equal structure are one object, so what was found out about one is found out once.
 */

/** Is a language of bytes. */
export abstract class Term {
  readonly id: number;
  readonly grammar: Grammar;
  #next: (Term | undefined)[] = [];
  #blurred: Term | undefined;
  /** Says when these two were found out. */
  #age = 0;
  #least = 0;
  #round = -1;

  constructor(grammar: Grammar) {
    this.grammar = grammar;
    this.id = grammar.newId();
  }

  /** Says whether the empty text belongs to the language. */
  abstract readonly isNullable: boolean;

  /** Computes the derivative by a byte. */
  protected abstract derive(byte: number): Term;

  /** Computes `least`. */
  protected abstract computeLeast(): number;

  /** Computes `blurred`. */
  protected blur(): Term {
    return this;
  }

  /**
   * Gives a number of tokens that are enough for a text of the language, and Infinity for an empty language. From a term with a
   * least number above 0, some token leads to one with a smaller number.
   */
  get least(): number {
    if (this.#round !== this.grammar.round) {
      this.#least = this.computeLeast();
      this.#round = this.grammar.round;
    }
    return this.#least;
  }

  /** Returns the derivative by a byte; an empty language is always `grammar.none`. */
  next(byte: number): Term {
    this.#renew();
    return (this.#next[byte] ??= alive(this.derive(byte)));
  }

  /**
   * Gives a term that stands for this one and others like it while the tokens that may follow are looked for. Each token that
   * it allows is allowed by this term too, and leaves as much to write.
   */
  get blurred(): Term {
    this.#renew();
    return (this.#blurred ??= this.blur());
  }

  #renew(): void {
    if (this.#age === this.grammar.age) return;
    this.#next = [];
    this.#blurred = undefined;
    this.#age = this.grammar.age;
  }
}

function alive(term: Term): Term {
  return term.least === Infinity ? term.grammar.none : term;
}

/** Makes terms and keeps them. */
export class Grammar {
  /** Is the language of no text. */
  readonly none: Term;
  /** Is the language of the empty text. */
  readonly empty: Term;
  /** Returns the least number of tokens that write these bytes, or Infinity. */
  readonly tokensFor: (bytes: string) => number;
  /** Gives the length of the longest token in bytes. */
  readonly longest: number;
  /** Counts how often rules have been settled; a least number of an earlier round is computed anew. */
  round = 0;
  /** Counts how often terms were forgotten. What an older term knows of others is found out anew. */
  age = 0;
  #ids = 0;
  #terms = new Map<string, Term>();

  constructor({ leastTokens, longest }: { readonly leastTokens: (bytes: string) => number; readonly longest: number }) {
    this.tokensFor = leastTokens;
    this.longest = longest;
    this.none = new None(this);
    this.empty = new Empty(this);
  }

  newId(): number {
    return this.#ids++;
  }

  /** Gives the number of terms that are kept. */
  get size(): number {
    return this.#terms.size;
  }

  /** Returns the term that a key names, which is made once. */
  term<T extends Term>(key: string, make: () => T): T {
    let term = this.#terms.get(key);
    if (term === undefined) {
      term = make();
      this.#terms.set(key, term);
    }
    return term as T;
  }

  /** Returns the language of one text, given as bytes. */
  literal(bytes: string): Term {
    return bytes === '' ? this.empty : this.term(`"${bytes}`, () => new Literal(this, bytes));
  }

  /** Returns the language of a text of each of these languages, one after the other. */
  sequence(...terms: readonly Term[]): Term {
    return terms.reduceRight((after, term) => this.#pair(term, after), this.empty);
  }

  #pair(head: Term, tail: Term): Term {
    if (head === this.none || tail === this.none) return this.none;
    if (head === this.empty) return tail;
    if (tail === this.empty) return head;
    if (head instanceof Sequence) return this.#pair(head.head, this.#pair(head.tail, tail));
    if (head instanceof Literal) {
      // Joined literals take fewer tokens.
      if (tail instanceof Literal) return this.literal(head.bytes + tail.bytes);
      if (tail instanceof Sequence && tail.head instanceof Literal)
        return this.#pair(this.literal(head.bytes + tail.head.bytes), tail.tail);
    }
    return this.term(`.${head.id} ${tail.id}`, () => new Sequence(this, head, tail));
  }

  /** Returns the language of the texts of any of these languages. What begins alike is joined, so that choices do not multiply. */
  either(...terms: readonly Term[]): Term {
    const tails = new Map<Term, Term[]>();
    for (const term of terms.flatMap((each) => (each instanceof Either ? each.choices : [each]))) {
      if (term === this.none) continue;
      const [head, tail] = term instanceof Sequence ? [term.head, term.tail] : [term, this.empty];
      const others = tails.get(head);
      if (others === undefined) tails.set(head, [tail]);
      else if (!others.includes(tail)) others.push(tail);
    }
    const joined = [...tails].map(([head, all]) => this.#pair(head, all.length === 1 ? all[0]! : this.either(...all)));
    if (joined.length === 0) return this.none;
    if (joined.length === 1) return joined[0]!;
    joined.sort((a, b) => a.id - b.id);
    return this.term(`|${joined.map(({ id }) => id).join(' ')}`, () => new Either(this, joined));
  }

  /**
   * Finds how many tokens the rules take at least, which may refer to each other: each starts as a language of no text, and what
   * is known of them is improved until nothing changes.
   */
  settle(rules: Iterable<Rule>): void {
    const all = [...rules];
    do this.round++;
    while (all.map((rule) => rule.improve()).includes(true));
  }

  /** Forgets all terms but those that somebody holds. */
  forget(): void {
    this.#terms.clear();
    this.age++;
  }
}

class None extends Term {
  readonly isNullable = false;
  protected derive(): Term {
    return this;
  }
  protected computeLeast(): number {
    return Infinity;
  }
}

class Empty extends Term {
  readonly isNullable = true;
  protected derive(): Term {
    return this.grammar.none;
  }
  protected computeLeast(): number {
    return 0;
  }
}

class Literal extends Term {
  readonly isNullable = false;
  readonly bytes: string;

  constructor(grammar: Grammar, bytes: string) {
    super(grammar);
    this.bytes = bytes;
  }

  protected derive(byte: number): Term {
    return this.bytes.charCodeAt(0) === byte ? this.grammar.literal(this.bytes.slice(1)) : this.grammar.none;
  }

  protected computeLeast(): number {
    return this.grammar.tokensFor(this.bytes);
  }
}

class Sequence extends Term {
  readonly isNullable: boolean;
  readonly head: Term;
  readonly tail: Term;

  constructor(grammar: Grammar, head: Term, tail: Term) {
    super(grammar);
    this.head = head;
    this.tail = tail;
    this.isNullable = head.isNullable && tail.isNullable;
  }

  protected derive(byte: number): Term {
    const within = this.grammar.sequence(this.head.next(byte), this.tail);
    return this.head.isNullable ? this.grammar.either(within, this.tail.next(byte)) : within;
  }

  protected computeLeast(): number {
    return this.head.least + this.tail.least;
  }

  protected override blur(): Term {
    return this.grammar.sequence(this.head.blurred, this.tail);
  }
}

class Either extends Term {
  readonly isNullable: boolean;
  readonly choices: readonly Term[];

  constructor(grammar: Grammar, choices: readonly Term[]) {
    super(grammar);
    this.choices = choices;
    this.isNullable = choices.some((each) => each.isNullable);
  }

  protected derive(byte: number): Term {
    return this.grammar.either(...this.choices.map((each) => each.next(byte)));
  }

  protected computeLeast(): number {
    return this.choices.reduce((least, each) => Math.min(least, each.least), Infinity);
  }

  protected override blur(): Term {
    return this.grammar.either(...this.choices.map((each) => each.blurred));
  }
}

/** Is a language with a name, by which it may refer to itself. It never holds the empty text. */
export class Rule extends Term {
  readonly isNullable = false;
  /** Holds what the rule stands for; it is set once. */
  body: Term;
  #known = Infinity;

  constructor(grammar: Grammar) {
    super(grammar);
    this.body = grammar.none;
  }

  protected derive(byte: number): Term {
    return this.body.next(byte);
  }

  protected computeLeast(): number {
    return this.#known;
  }

  /** Returns whether this rule begins with another one, without any text before it. */
  beginsWith(other: Rule, seen = new Set<Term>()): boolean {
    if (seen.has(this)) return false;
    seen.add(this);
    const direct = this.body instanceof Either ? this.body.choices : [this.body];
    return direct.some((each) => each instanceof Rule && (each === other || each.beginsWith(other, seen)));
  }

  /** Looks again how many tokens are enough, and returns whether they have become fewer. */
  improve(): boolean {
    const before = this.#known;
    this.#known = this.body.least;
    return this.#known < before;
  }
}
