/**
 * Feeds several rows to a session together. Reading the weights is nearly all that a token costs, and one run of the graph reads
 * them once for all rows. The rows share one cache, in which a mask keeps them apart, so the graph is that of a single row.
 */
import { partNeeds, type DecoderSpec } from '../models/spec.ts';
import { turnsOtherwise } from '../models/rope.ts';
import { assert } from '../problem.ts';
import { type GenerationSession, LONGEST_PIECE } from './generation.ts';
import { commonRow } from './sequence.ts';
import { growsByTokens, RowState } from './state.ts';

interface Waiting {
  readonly row: number;
  readonly tokens: readonly number[];
  readonly resolve: (logits: Float32Array) => void;
  readonly reject: (error: unknown) => void;
}

/** Is one row of a batch. */
export interface BatchRow {
  /** Feeds tokens after those of the row, and returns the logits `[vocabulary]` after the last one. */
  feed(tokens: readonly number[]): Promise<Float32Array>;
  /** Ends the row, so that the others no longer wait for it. */
  end(): void;
}

/** Returns whether rows of up to `longest` tokens can share a cache: what blocks keep of a token must not depend on the others. */
export function canShareCache(spec: DecoderSpec, longest: number): boolean {
  return growsByTokens(spec) && !partNeeds(spec).has('starts') && !spec.ropes.some((rope) => turnsOtherwise(rope, 1, longest));
}

/** Holds rows that are answered together. A run begins when every row that goes on waits for one. */
export class GenerationBatch {
  readonly #session: GenerationSession;
  readonly #state: RowState;
  /** Hold the row and the place of each token in the cache. */
  readonly #rows: number[] = [];
  readonly #places: number[] = [];
  #common = 0;
  #opened = 0;
  readonly #open = new Set<number>();
  #waiting: Waiting[] = [];

  constructor(session: GenerationSession) {
    this.#session = session;
    this.#state = new RowState(session.spec);
  }

  /** Feeds the tokens that all rows begin with, before the first row is opened. */
  async begin(tokens: readonly number[]): Promise<void> {
    assert(this.#opened === 0, 'rows have begun already');
    await this.#run(tokens.map((token, place) => ({ row: commonRow, token, place })));
    this.#common = tokens.length;
  }

  /** Opens a row, which goes on after the common tokens. It holds up the others until it is fed or ended. */
  open(): BatchRow {
    const row = this.#opened++;
    this.#open.add(row);
    return {
      feed: (tokens) =>
        new Promise((resolve, reject) => {
          this.#waiting.push({ row, tokens, resolve, reject });
          this.#runIfAllWait();
        }),
      end: () => {
        this.#open.delete(row);
        this.#runIfAllWait();
      },
    };
  }

  #runIfAllWait(): void {
    if (this.#waiting.length === 0 || this.#waiting.length < this.#open.size) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    const lengths = new Map<number, number>();
    for (const row of this.#rows) lengths.set(row, (lengths.get(row) ?? 0) + 1);
    const tokens = waiting.flatMap(({ row, tokens }) =>
      tokens.map((token, i) => ({ row, token, place: this.#common + (lengths.get(row) ?? 0) + i })),
    );
    this.#run(tokens).then(
      (logits) => {
        for (const { row, resolve } of waiting) resolve(logits.get(row)!);
      },
      (error: unknown) => {
        for (const { reject } of waiting) reject(error);
      },
    );
  }

  /** Feeds tokens of several rows, and returns the logits after the last token of each row. */
  async #run(
    tokens: readonly { readonly row: number; readonly token: number; readonly place: number }[],
  ): Promise<ReadonlyMap<number, Float32Array>> {
    const last = new Map(tokens.map(({ row }, i) => [row, i]));
    const logits = new Map<number, Float32Array>();
    for (let start = 0; start < tokens.length; start += LONGEST_PIECE) {
      const piece = tokens.slice(start, start + LONGEST_PIECE);
      this.#rows.push(...piece.map(({ row }) => row));
      this.#places.push(...piece.map(({ place }) => place));
      const ending = [...last].filter(([, at]) => at >= start && at < start + piece.length);
      const at = ending.length === 0 ? [piece.length - 1] : ending.map(([, at]) => at - start);
      const result = await this.#session.run(
        this.#state,
        piece.map(({ token }) => token),
        at,
        { shared: { rows: this.#rows, places: this.#places } },
      );
      const size = this.#session.spec.vocabularySize;
      ending.forEach(([row], i) => logits.set(row, result.subarray(i * size, (i + 1) * size)));
    }
    return logits;
  }
}
