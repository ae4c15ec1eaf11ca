/** Chooses the examples that are put in front of a question. */
import type { ShotsChoice } from '../contract.ts';
import { permutation } from '../random.ts';
import type { Shot } from './questions.ts';
import { wordsOf } from './text.ts';

/** Gives the numbers of examples that are tried where the number is chosen on validation rows. */
export const triedCounts = [1, 3, 5, 8];

/** Holds a training row as an example. */
export interface Example {
  readonly messages: Shot;
  readonly question: string;
}

/** Holds training rows as examples, in an order drawn with a seed. */
export class Examples {
  readonly #drawn: readonly Example[];
  readonly #words: readonly ReadonlySet<string>[];

  constructor(examples: readonly Example[], seed: number) {
    this.#drawn = Array.from(permutation(examples.length, seed, 0), (i) => examples[i]!);
    this.#words = this.#drawn.map(({ question }) => new Set(wordsOf(question)));
  }

  get length(): number {
    return this.#drawn.length;
  }

  /**
   * Chooses `count` examples for a question, the same ones for all by the rule `seed`. By `nearest` they are those that share
   * the largest part of their words with it, the nearest last, because it then stands beside the question. `own` is the row
   * itself, which is never its own example.
   */
  choose(question: string, own: Shot | null, count: number, rule: ShotsChoice['rule'] = 'seed'): Shot[] {
    const key = JSON.stringify(own);
    const isOther = ({ messages }: Example): boolean => JSON.stringify(messages) !== key;
    if (rule === 'seed')
      return this.#drawn
        .filter(isOther)
        .slice(0, count)
        .map(({ messages }) => messages);
    const asked = new Set(wordsOf(question));
    return [...this.#drawn.keys()]
      .filter((i) => isOther(this.#drawn[i]!))
      .map((i) => ({ i, overlap: overlapOf(asked, this.#words[i]!) }))
      .toSorted((a, b) => b.overlap - a.overlap || a.i - b.i)
      .slice(0, count)
      .map(({ i }) => this.#drawn[i]!.messages)
      .toReversed();
  }
}

/** Returns the share of words that are in both (Jaccard 1901). */
function overlapOf(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const both = [...a].filter((word) => b.has(word)).length;
  const either = a.size + b.size - both;
  return either === 0 ? 0 : both / either;
}
