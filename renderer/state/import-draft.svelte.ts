import type { ColumnMapping, DataColumns, ProblemValue, Split } from '../../engine/contract.ts';
import { problemOf } from './engine.ts';
import type { DatasetsState } from './datasets.svelte.ts';
import { mappingFault } from './mapping-fault.ts';
import { nameByPath, splitByName } from './split-by-name.ts';

/** Describes a file or folder of a data set before it is added. */
export interface ImportedFile {
  readonly path: string;
  readonly split: Split;
  /** Is null while the file is read, and if it cannot be read. */
  readonly columns: DataColumns | null;
  readonly problem: ProblemValue | null;
}

/** Holds a data set before it is added: its files, what their columns mean, and whether they are copied. */
export class ImportDraft {
  files = $state.raw<readonly ImportedFile[]>([]);
  /** Says whether the files are copied into the project. Otherwise they are read where they are. */
  copies = $state(false);
  /** Says what the columns mean; null leaves the format to be recognized. */
  mapping = $state.raw<ColumnMapping | null>(null);
  /** Says why the data set could not be added. */
  problem = $state.raw<ProblemValue | null>(null);
  /** Says whether the files already belong to the project, as pasted rows do. */
  readonly isKept: boolean;
  #typedName = $state<string | null>(null);
  readonly #datasets: DatasetsState;
  readonly #closing = new AbortController();

  constructor(datasets: DatasetsState, paths: readonly string[], isKept = false) {
    this.#datasets = datasets;
    this.isKept = isKept;
    this.add(paths);
  }

  get name(): string {
    return this.#typedName ?? nameByPath(this.files[0]?.path ?? '');
  }
  set name(name: string) {
    this.#typedName = name;
  }

  /** Lists the columns of each file that could be read. */
  readonly known: readonly DataColumns[] = $derived(this.files.flatMap(({ columns }) => columns ?? []));
  readonly isReading: boolean = $derived(this.files.some(({ columns, problem }) => columns === null && problem === null));
  /** Lists the files whose format is not recognized, so that a person has to say what the columns mean. */
  readonly unknown: readonly ImportedFile[] = $derived(
    this.files.filter(({ columns }) => columns !== null && columns.format === null && columns.columns.length > 0),
  );
  readonly isUnknown: boolean = $derived(this.unknown.length > 0 && this.unknown.length === this.files.length);
  /** Returns why the data set cannot be added yet; null when it can. */
  readonly obstacle: string | null = $derived.by(() => {
    if (this.files.length === 0) return 'Choose a file.';
    if (this.isReading) return 'The files are being read.';
    if (this.files.some(({ problem }) => problem !== null)) return 'Remove the file that cannot be read.';
    if (this.files.every(({ split }) => split === 'eval')) return 'At least one file is needed to train on.';
    if (this.name.trim() === '') return 'Give the data set a name.';
    if (this.mapping !== null) return mappingFault(this.mapping);
    return this.isUnknown ? 'Say what the columns mean; otherwise no row can be used.' : null;
  });

  /** Adds files; those with a name for evaluation are taken for it. */
  add(paths: readonly string[]): void {
    const added = paths.filter((path) => this.files.every((file) => file.path !== path));
    const { evalPaths } = splitByName([...this.files.map(({ path }) => path), ...added]);
    const split = (path: string): Split => (evalPaths.includes(path) ? 'eval' : 'train');
    this.files = [...this.files, ...added.map((path) => ({ path, split: split(path), columns: null, problem: null }))];
    for (const path of added) void this.#read(path);
  }

  remove(path: string): void {
    this.files = this.files.filter((file) => file.path !== path);
  }

  use(path: string, split: Split): void {
    this.#change(path, { split });
  }

  /** Begins a mapping with what the names of the columns suggest. */
  map(): void {
    const guess = this.known.find(({ guess }) => guess.answer !== null)?.guess;
    this.mapping = {
      question: guess === undefined ? '' : guess.question,
      answer: guess?.answer ?? '',
      system: guess?.system ?? null,
    };
  }

  /** Ends the reading of files that nobody waits for any more. */
  close(): void {
    this.#closing.abort();
  }

  async #read(path: string): Promise<void> {
    try {
      const columns = await this.#datasets.columns(path, { signal: this.#closing.signal });
      this.#change(path, { columns });
      // Where no file is known by its columns, a person has to say what they mean.
      if (!this.isReading && this.mapping === null && this.isUnknown) this.map();
    } catch (error) {
      this.#change(path, { problem: problemOf(error) });
    }
  }

  #change(path: string, change: Partial<ImportedFile>): void {
    this.files = this.files.map((file) => (file.path === path ? { ...file, ...change } : file));
  }
}
