/**
 * Holds answers to a JSON Schema: of the tokens that may follow, only those are allowed after which a document that the schema
 * allows can still come about.
 */
import type { Tokenizer } from '../../data/tokenizer.ts';
import { assert } from '../../problem.ts';
import type { ConstrainedAnswer, Constraint } from './constraint.ts';
import { documentsOf } from './schema.ts';
import { Grammar, type Term } from './terms.ts';
import { vocabularyOf, type Vocabulary } from './vocabulary.ts';

/** These limits keep what is remembered at some ten megabytes. */
const mostTerms = 50_000;
const mostTokensHeld = 4_000_000;

/**
 * Opens a constraint for documents of a schema (draft 2020-12), written by the tokens of a tokenizer. A schema that an answer
 * cannot be held to is refused by the keyword and its place, and so is a tokenizer without a token for each byte.
 */
export function openConstraint(schema: unknown, tokenizer: Tokenizer): Constraint {
  return new SchemaConstraint(schema, vocabularyOf(tokenizer));
}

/** Lists the tokens that may follow, those first that leave the least to write. */
interface Choices {
  readonly ids: Uint32Array;
  /** Says for each number of tokens that are left to write how many of `ids` leave no more. It is in rising order. */
  readonly upTo: readonly { readonly least: number; readonly count: number }[];
}

class SchemaConstraint implements Constraint {
  readonly vocabulary: Vocabulary;
  readonly #grammar: Grammar;
  readonly #documents: Term;
  #choices = new Map<Term, Choices>();
  #held = 0;

  constructor(schema: unknown, vocabulary: Vocabulary) {
    this.vocabulary = vocabulary;
    this.#grammar = new Grammar({ leastTokens: (bytes) => vocabulary.leastTokens(bytes), longest: vocabulary.longest });
    this.#documents = documentsOf(schema, this.#grammar);
  }

  get enough(): number {
    return this.#documents.least;
  }

  begin(): ConstrainedAnswer {
    return new SchemaAnswer(this, this.#documents);
  }

  choices(term: Term): Choices {
    let choices = this.#choices.get(term.blurred);
    if (choices === undefined) {
      choices = this.#find(term.blurred);
      if (this.#held > mostTokensHeld || this.#grammar.size > mostTerms) this.#forget();
      this.#choices.set(term.blurred, choices);
      this.#held += choices.ids.length;
    }
    return choices;
  }

  #forget(): void {
    this.#choices.clear();
    this.#grammar.forget();
    this.#held = 0;
  }

  /** Goes through the tree of tokens with the term that each node leads to. */
  #find(from: Term): Choices {
    const { ids, first, byte, depth, end } = this.vocabulary;
    const { none } = this.#grammar;
    const path: Term[] = [from];
    const byLeast = new Map<number, number[]>();
    for (let node = 1; node < byte.length;) {
      const term = path[depth[node]! - 1]!.next(byte[node]!).blurred;
      if (term === none) {
        node = end[node]!;
        continue;
      }
      path[depth[node]!] = term;
      const [own, next] = [first[node]!, first[node + 1]!];
      if (next > own) {
        let list = byLeast.get(term.least);
        if (list === undefined) byLeast.set(term.least, (list = []));
        for (let i = own; i < next; i++) list.push(ids[i]!);
      }
      node++;
    }
    const sorted = [...byLeast].sort(([a], [b]) => a - b);
    let count = 0;
    return {
      ids: Uint32Array.from(sorted.flatMap(([, list]) => list)),
      upTo: sorted.map(([least, list]) => ({ least, count: (count += list.length) })),
    };
  }
}

class SchemaAnswer implements ConstrainedAnswer {
  readonly #constraint: SchemaConstraint;
  #term: Term;
  #hasEnded = false;

  constructor(constraint: SchemaConstraint, documents: Term) {
    this.#constraint = constraint;
    this.#term = documents;
  }

  get isComplete(): boolean {
    return this.#term.isNullable;
  }

  get isFinal(): boolean {
    return this.#hasEnded || (this.isComplete && this.#constraint.choices(this.#term).ids.length === 0);
  }

  allowed(logits: Float32Array, left: number): Float32Array {
    const { ids, upTo } = this.#constraint.choices(this.#term);
    const { stops } = this.#constraint.vocabulary;
    // Where nothing fits any more, the answer will be cut, and is written as far as it goes.
    const fitting = upTo.findLast(({ least }) => least < left)?.count ?? (this.isComplete ? 0 : ids.length);
    const allowed = new Float32Array(logits.length).fill(-Infinity);
    for (let i = 0; i < fitting; i++) allowed[ids[i]!] = logits[ids[i]!]!;
    if (this.isComplete) for (const stop of stops) allowed[stop] = logits[stop]!;
    return allowed;
  }

  accept(token: number): void {
    const bytes = this.#constraint.vocabulary.bytesOf(token);
    if (this.isComplete && this.#constraint.vocabulary.stops.includes(token)) {
      this.#hasEnded = true;
      return;
    }
    for (let i = 0; i < bytes.length; i++) this.#term = this.#term.next(bytes.charCodeAt(i));
    assert(bytes !== '' && this.#term.least < Infinity, 'the token is not allowed here');
  }
}
