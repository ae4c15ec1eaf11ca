/** Numbers that say what a data set is like, counted while its rows are read: sixteen bytes a row. */
import type { DataStatistics } from '../contract.ts';
import type { LanguageCounts } from './checks/language-counts.ts';
import { Column } from './column.ts';
import type { TokenRow } from './row.ts';

/** Rows that are named as the longest, and as the shortest. */
const rowsNamed = 100;
/** So many tokens rows have to have in common at their beginning, and so many of such beginnings are named. */
export const prefixTokens = 32;
const prefixesNamed = 5;
/** Rows of more turns than this are counted together. */
const mostTurns = 20;

/** A beginning that several rows share, the first of them, and how many they are. */
export interface RowsOfPrefix {
  readonly row: number;
  readonly rows: number;
}

export class RowStatistics {
  readonly #rows = new Column(Uint32Array);
  readonly #lengths = new Column(Uint32Array);
  /** Holds a hash of the first tokens of each row that has enough of them. */
  readonly #prefixes = new Column(Float64Array);
  readonly #rowsOfPrefixes = new Column(Uint32Array);
  readonly #turns = new Map<number, number>();
  #sorted: Uint32Array = new Uint32Array(0);

  /** Takes the examples of one row. */
  add(examples: readonly TokenRow[]): void {
    const [{ index, inputIds, said }] = examples as [TokenRow];
    this.#rows.add(index);
    this.#lengths.add(Math.max(...examples.map((example) => example.inputIds.length)));
    if (inputIds.length >= prefixTokens) {
      this.#prefixes.add(prefixHash(inputIds));
      this.#rowsOfPrefixes.add(index);
    }
    if (said?.turns === undefined) return;
    const turns = Math.min(said.turns, mostTurns);
    this.#turns.set(turns, (this.#turns.get(turns) ?? 0) + 1);
  }

  /** Returns the tokens that so large a share of the rows does not exceed; 0 where there are no rows. */
  #lengthAt(share: number): number {
    if (this.#sorted.length !== this.#lengths.length) this.#sorted = Uint32Array.from(this.#lengths.values).sort();
    return this.#sorted[Math.max(0, Math.ceil(share * this.#sorted.length) - 1)] ?? 0;
  }

  /** Returns the rows of the most tokens, or of the fewest; among equals the first. */
  #extreme(isBefore: (length: number, other: number) => boolean): number[] {
    const named: number[] = [];
    for (let i = 0; i < this.#lengths.length; i++) {
      const length = this.#lengths.at(i);
      if (named.length === rowsNamed && !isBefore(length, this.#lengths.at(named.at(-1)!))) continue;
      const place = named.findLastIndex((other) => !isBefore(length, this.#lengths.at(other)));
      named.splice(place + 1, 0, i);
      named.length = Math.min(named.length, rowsNamed);
    }
    return named.map((i) => this.#rows.at(i));
  }

  /** Returns the beginnings that the most rows share. */
  get sharedPrefixes(): RowsOfPrefix[] {
    const hashes = this.#prefixes.values;
    const sorted = Float64Array.from(hashes).sort();
    const counts = new Map<number, number>();
    for (let from = 0; from < sorted.length;) {
      let to = from + 1;
      while (sorted[to] === sorted[from]) to++;
      if (to - from > 1) counts.set(sorted[from]!, to - from);
      from = to;
    }
    const most = [...counts].toSorted(([, rows], [, others]) => others - rows).slice(0, prefixesNamed);
    return most.map(([hash, rows]) => ({ row: this.#rowsOfPrefixes.at(hashes.indexOf(hash)), rows }));
  }

  /** Returns all numbers; the texts of shared beginnings have to be read from their rows. */
  report(languages: LanguageCounts, prefixes: DataStatistics['prefixes']): DataStatistics {
    return {
      medianTokens: this.#lengthAt(0.5),
      p95Tokens: this.#lengthAt(0.95),
      longest: this.#extreme((length, other) => length > other),
      shortest: this.#extreme((length, other) => length < other),
      turns: [...this.#turns].toSorted(([a], [b]) => a - b).map(([turns, rows]) => ({ turns, rows })),
      languages: languages.ranked.map(({ name, rows }) => ({ name, rows: rows.count })),
      prefixes,
    };
  }
}

/** Hashes the first tokens into 53 bits, so that among a million rows hardly two have one by chance. */
function prefixHash(ids: Int32Array): number {
  let [low, high] = [0x811c9dc5, 0x9747b28c];
  for (let t = 0; t < prefixTokens; t++) {
    low = Math.imul(low ^ ids[t]!, 0x01000193);
    high = Math.imul(high ^ ids[t]!, 0x5bd1e995) ^ (low >>> 15);
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}
