/** Counts rows by the language they are written in. */
import { FoundRows } from './found-rows.ts';

/** Holds the rows of each language that was recognized. */
export class LanguageCounts {
  readonly #rows = new Map<string, FoundRows>();
  known = 0;

  add(language: string, index: number): void {
    const rows = this.#rows.get(language) ?? new FoundRows();
    this.#rows.set(language, rows);
    rows.add(index);
    this.known++;
  }

  /** Returns the languages with their rows, most rows first. */
  get ranked(): { readonly name: string; readonly rows: FoundRows }[] {
    const names = new Intl.DisplayNames('en', { type: 'language' });
    return [...this.#rows]
      .map(([code, rows]) => ({ name: names.of(code) ?? code, rows }))
      .sort((a, b) => b.rows.count - a.rows.count);
  }
}
