/** Opens the rows of a data set for a model, whether it is one set of files or a mix of several. */
import { chooseMixed, filesOfPart, isMixed, type MixedFiles, watchOfPart } from './mix.ts';
import { hashOfHashes, type RowFiles } from './row-files.ts';
import type {
  OnRow,
  ReadingWatch,
  RowCache,
  RowOrProblem,
  RowReading,
  Rows,
  RowsSummary,
  SomeRecords,
  TokensSummary,
} from './row.ts';
import { RowSource } from './rows.ts';
import type { Tokenizer } from './tokenizer.ts';
import type { RowChoice } from './changes.ts';

/** Returns the rows of one split of a data set. */
export function openRows(
  files: RowFiles,
  tokenizer: Tokenizer | null,
  vocabularySize: number,
  reading: RowReading = {},
  cache: RowCache | null = null,
): Rows {
  const open = (of: RowFiles, choose: ConstructorParameters<typeof RowSource>[5] = null) =>
    new RowSource(of, tokenizer, vocabularySize, reading, cache, choose);
  return isMixed(files) ? new MixedRows(files, open) : open(files);
}

/** The rows of the parts of a mix, one part after the other. */
class MixedRows implements Rows {
  readonly #files: MixedFiles;
  readonly #parts: readonly { readonly source: RowSource; readonly number: number; readonly name: string }[];
  #choices: Promise<readonly RowChoice[]> | null = null;
  #total: number | null = null;

  constructor(files: MixedFiles, open: (files: RowFiles, choose: (watch: ReadingWatch) => Promise<RowChoice>) => RowSource) {
    this.#files = files;
    this.#parts = files.mix.parts.map((part, i) => ({
      source: open(filesOfPart(files, part), async (watch) => (await this.#chosen(watch))[i]!),
      number: part.number,
      name: files.mix.of.parts[part.number]!.name,
    }));
  }

  async #chosen(watch: ReadingWatch): Promise<readonly RowChoice[]> {
    this.#choices ??= chooseMixed(this.#files, watch);
    try {
      const choices = await this.#choices;
      this.#total = choices.reduce((sum, { count }) => sum + count, 0);
      return choices;
    } catch (error) {
      // Whoever asks next begins again.
      this.#choices = null;
      throw error;
    }
  }

  get total(): number | null {
    return this.#total;
  }

  async read(onRow: OnRow, watch: ReadingWatch = () => {}): Promise<TokensSummary> {
    const summaries = await this.#each(onRow, watch, (source, ...own) => source.read(...own));
    const notKept = summaries.map((one) => one.notKept).find((why) => why !== null) ?? null;
    return { ...this.#together(summaries), notKept };
  }

  async readWhole(onRow: OnRow, watch: ReadingWatch = () => {}): Promise<RowsSummary> {
    return this.#together(await this.#each(onRow, watch, (source, ...own) => source.readWhole(...own)));
  }

  /** Reads the parts one after another. Their rows are numbered through, and the position is that in all files. */
  async #each<T>(
    onRow: OnRow,
    watch: ReadingWatch,
    read: (source: RowSource, onRow: OnRow, watch: ReadingWatch) => Promise<T>,
  ): Promise<T[]> {
    await this.#chosen(watch);
    const results: T[] = [];
    let first = 0;
    for (const [i, { source, number }] of this.#parts.entries()) {
      const before = first;
      const own: OnRow = (examples) => {
        onRow(examples.map((one) => ({ ...one, index: before + one.index, mixPart: number })));
        first = before + examples[0]!.index + 1;
      };
      results.push(await read(source, own, watchOfPart(watch, this.#files.mix.parts, i, before)));
    }
    return results;
  }

  async page(offset: number, limit: number, watch: ReadingWatch = () => {}): Promise<readonly RowOrProblem[]> {
    const counts = (await this.#chosen(watch)).map(({ count }) => count);
    const examples: RowOrProblem[] = [];
    let first = 0;
    for (const [i, { source, number }] of this.#parts.entries()) {
      const [from, to] = [Math.max(0, offset - first), Math.min(counts[i]!, offset + limit - first)];
      if (to > from)
        for (const one of await source.page(from, to - from, watch))
          examples.push({ ...one, index: first + one.index, mixPart: number });
      first += counts[i]!;
    }
    return examples;
  }

  async *records(offset: number, watch: ReadingWatch = () => {}): AsyncGenerator<SomeRecords> {
    let first = 0;
    for (const [i, { count }] of (await this.#chosen(watch)).entries()) {
      const before = first;
      first += count;
      if (offset >= first) continue;
      for await (const { records, ...some } of this.#parts[i]!.source.records(Math.max(0, offset - before), watch))
        yield { ...some, records: records.map((one) => ({ ...one, index: before + one.index })) };
    }
  }

  /** Returns what is known of all rows by what is known of each part. */
  #together(summaries: readonly RowsSummary[]): RowsSummary {
    const hashes = summaries.flatMap((one) => one.hashes);
    return {
      format: summaries[0]!.format,
      hash: hashOfHashes(hashes),
      hashes,
      formats: added(
        summaries.flatMap((one) => one.formats),
        ({ name, why }) => JSON.stringify([name, why]),
      ),
      unused: added(
        summaries.flatMap((one) => one.unused),
        ({ name }) => name,
      ),
      repeated: summaries.flatMap((one, i) => one.repeated.map((value) => ({ ...value, part: this.#parts[i]!.name }))),
    };
  }
}

/** Adds up the rows of those that have the same key, those of most rows first. */
function added<T extends { readonly rows: number }>(all: readonly T[], keyOf: (one: T) => string): T[] {
  const sums = [...Map.groupBy(all, keyOf).values()].map((same): T => ({
    ...same[0]!,
    rows: same.reduce((sum, { rows }) => sum + rows, 0),
  }));
  return sums.toSorted((a, b) => b.rows - a.rows);
}
