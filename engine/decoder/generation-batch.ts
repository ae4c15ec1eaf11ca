/**
 * Feeds several rows to a session together. Reading the weights is nearly all that a token costs, and one run of the graph reads
 * them once for all rows. The rows share one cache, in which a mask keeps them apart, so the graph is that of a single row.
 */
import { partNeeds, type DecoderSpec } from '../models/spec.ts';
import { turnsOtherwise } from '../models/rope.ts';
import { type GenerationSession, type KeptRow, LONGEST_PIECE } from './generation.ts';
import { commonRow } from './sequence.ts';
import { growsByTokens, RowState } from './state.ts';

interface Waiting {
  readonly row: OpenRow;
  readonly tokens: readonly number[];
  readonly resolve: (logits: Float32Array) => void;
  readonly reject: (error: unknown) => void;
}

/** Is one row of a batch. */
export interface BatchRow {
  /** Gives the seconds that its tokens took: of each run, the share of its tokens. */
  readonly seconds: number;
  /** Feeds tokens after those of the row, and returns the logits `[vocabulary]` after the last one. */
  feed(tokens: readonly number[]): Promise<Float32Array>;
  /** Ends the row, so that the others no longer wait for it. */
  end(): void;
}

interface OpenRow {
  readonly number: number;
  /** Counts its tokens, the common ones with them. */
  length: number;
  seconds: number;
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
  readonly #rows: number[];
  readonly #places: number[];
  readonly #common: number;
  #opened = 0;
  readonly #open = new Set<OpenRow>();
  #waiting: Waiting[] = [];

  /** Begins a batch, of which all rows go on after `common`. */
  constructor(session: GenerationSession, common: KeptRow | null) {
    this.#session = session;
    this.#state = common === null ? new RowState(session.spec) : common.row.copy();
    this.#common = this.#state.length;
    this.#rows = new Array<number>(this.#common).fill(commonRow);
    this.#places = [...this.#rows.keys()];
  }

  /** Opens a row, which goes on after the common tokens. It holds up the others until it is fed or ended. */
  open(): BatchRow {
    const row: OpenRow = { number: this.#opened++, length: this.#common, seconds: 0 };
    this.#open.add(row);
    return {
      get seconds() {
        return row.seconds;
      },
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
    const begun = performance.now();
    this.#run(waiting).then(
      (logits) => {
        const all = waiting.reduce((sum, { tokens }) => sum + tokens.length, 0);
        const secondsOfToken = (performance.now() - begun) / 1000 / all;
        waiting.forEach(({ row, tokens, resolve }, i) => {
          row.seconds += tokens.length * secondsOfToken;
          resolve(logits[i]!);
        });
      },
      (error: unknown) => {
        for (const { reject } of waiting) reject(error);
      },
    );
  }

  /** Feeds the tokens of several rows, and returns the logits after the last token of each. */
  async #run(waiting: readonly Waiting[]): Promise<Float32Array[]> {
    const tokens = waiting.flatMap(({ row, tokens }, at) =>
      tokens.map((token, i) => ({
        ...{ token, row: row.number, place: row.length++ },
        ends: i === tokens.length - 1 ? at : null,
      })),
    );
    const { vocabularySize } = this.#session.spec;
    const logits = new Array<Float32Array>(waiting.length);
    for (let start = 0; start < tokens.length; start += LONGEST_PIECE) {
      const piece = tokens.slice(start, start + LONGEST_PIECE);
      this.#rows.push(...piece.map(({ row }) => row));
      this.#places.push(...piece.map(({ place }) => place));
      const ending = piece.flatMap(({ ends }, at) => (ends === null ? [] : [{ ends, at }]));
      // A piece in which no row ends has logits that nobody needs, because the graph gives some.
      const at = ending.length === 0 ? [piece.length - 1] : ending.map((one) => one.at);
      const ids = piece.map(({ token }) => token);
      const shared = { rows: this.#rows, places: this.#places };
      const result = await this.#session.run(this.#state, ids, at, { shared });
      ending.forEach(({ ends }, i) => (logits[ends] = result.subarray(i * vocabularySize, (i + 1) * vocabularySize)));
    }
    return logits;
  }
}
