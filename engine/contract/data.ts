/** Defines data sets and rows: how they are read, checked and shown. */
import type { ProblemValue } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { ModelRef } from './models.ts';

/** What rows are; `unknown` where none of them is of a format that is known. */
export type DataFormat = 'messages' | 'sharegpt' | 'alpaca' | 'prompt-completion' | 'text' | 'tokens' | 'unknown';
export type Split = 'train' | 'eval';
/** Describes a file of a data set at the time when a version was made of it. */
export interface VersionFile {
  readonly path: string;
  readonly split: Split;
  readonly bytes: number | null;
  /** The SHA-256 of the file; null in versions of an earlier studio until their files are hashed. */
  readonly sha256: string | null;
}
/** A row of a file: its number from 0, and 16 characters that its content hashes to, so that it is never taken for another one. */
export interface SourceRow {
  readonly row: number;
  readonly hash: string;
}
/** What a person has done to rows. It is applied in its order while they are read; nothing on the disk is changed. */
export type DataChange =
  | {
      /** Holds rows back for evaluation. */
      readonly kind: 'split';
      /** Of all rows, above 0 and below 1. */
      readonly fraction: number;
      readonly seed: number;
      /** Rows with the same value in this column stay together; left out, those that are the same in all of it. */
      readonly by?: string;
    }
  | {
      /** Leaves rows out. */
      readonly kind: 'exclude';
      readonly files: readonly { readonly path: string; readonly rows: readonly SourceRow[] }[];
    }
  /** Leaves out every row but the first of those that are the same. */
  | { readonly kind: 'deduplicate' }
  | {
      /** Writes a row anew, also one that cannot be read. */
      readonly kind: 'edit';
      readonly path: string;
      readonly row: SourceRow;
      /** The whole record, with the columns that the file has. */
      readonly value: Readonly<Record<string, unknown>>;
    }
  | {
      /** Replaces a text, letter by letter the same, wherever it is in a column; left out, in every one. */
      readonly kind: 'replace';
      readonly find: string;
      readonly with: string;
      readonly column?: string;
    };
/** A change as it is asked for: rows are those that a person sees, by their numbers in a split of the version. */
export type AskedChange =
  | Exclude<DataChange, { kind: 'exclude' | 'edit' }>
  | { readonly kind: 'edit'; readonly split: Split; readonly row: number; readonly value: Readonly<Record<string, unknown>> }
  | { readonly kind: 'exclude'; readonly split: Split; readonly rows: readonly number[] };
/** Records what the files of a data set held at one time. It never changes: files that have changed make another version. */
export interface DatasetVersion {
  readonly id: string;
  readonly datasetId: string;
  /** The number of the version within its data set, from 1. */
  readonly sequence: number;
  readonly files: readonly VersionFile[];
  readonly mapping: ColumnMapping | null;
  /** What was done to the rows of the files. */
  readonly changes: readonly DataChange[];
  /** The sequence of the version that it was made of; null for the first. */
  readonly parent: number | null;
  readonly format: DataFormat;
  readonly trainRows: number;
  readonly evalRows: number;
  /**
   * The SHA-256 over the files to train on and the files to evaluate on, and over what was done to their rows. It depends on which of the two a
   * file is for.
   */
  readonly hash: string;
  readonly createdAt: number;
}
export interface Dataset {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly createdAt: number;
  /** The newest version, unless a person went back to an earlier one. */
  readonly version: DatasetVersion;
}
/** A version and in what it differs from the one that it was made of: `12 rows left out`. */
export interface VersionDifference {
  readonly version: DatasetVersion;
  readonly difference: string;
}
/** Describes files of rows as far as that takes no model. */
export type DataScan = Pick<DatasetVersion, 'files' | 'changes' | 'format' | 'trainRows' | 'evalRows' | 'hash'>;
/** Names files of rows to train on and to evaluate on, and says what their fields mean where their format does not. */
export interface DataFiles {
  readonly paths: readonly string[];
  readonly evalPaths?: readonly string[];
  readonly mapping?: ColumnMapping;
  readonly changes?: readonly DataChange[];
}
/** Names rows either by a version of a data set, or by files as they are now. */
export type DataRef = { readonly versionId: string } | DataFiles;
/** Names the rows of one split; without `split` those to train on. */
export interface RowsRef {
  readonly data: DataRef;
  readonly split?: Split;
}
/** Names a version of a data set to people, also after the data set was removed. */
export interface VersionName {
  readonly id: string;
  /** The number of the version within its data set, from 1. */
  readonly sequence: number;
  /** The name that the data set had when the version was named. */
  readonly dataset: string;
}
/** Names files as a job receives them. */
export interface DataAt extends DataFiles {
  /** The version that the files belong to; left out for files that were named by their paths. */
  readonly version?: VersionName;
  /** The SHA-256 that the version has of each file, by its path; a file without one is not compared. */
  readonly hashes?: Readonly<Record<string, string>>;
}
/** Names rows as a job receives them; see `RowsRef`. */
export interface RowsAt {
  readonly data: DataAt;
  readonly split?: Split;
}
/** Lists the fields of a file of rows, so that a person can say what they mean where `format` is null. */
export interface DataColumns {
  readonly format: DataFormat | null;
  /** What fields of unknown names may be; null where no name says it. */
  readonly guess: { readonly question: string | null; readonly answer: string | null; readonly system: string | null };
  readonly columns: readonly { readonly name: string; readonly example: string }[];
}
/** Where a text comes from: a column by its name, a template such as `{title}: {body}`, or a text that is the same in all rows. */
export type MappedText = string | { readonly template: string } | { readonly constant: string };
/** Says which field holds what. Without a question the answer is plain text. */
export interface ColumnMapping {
  readonly question: MappedText | null;
  readonly answer: MappedText;
  readonly system: MappedText | null;
}
/** Says how the loss treats a token. */
export type TokenRole = 'trained' | 'ignored' | 'special' | 'truncated';
export interface TokenView {
  readonly id: number;
  readonly text: string;
  readonly role: TokenRole;
}
/** A message of a conversation has the fields that OpenAI and the chat templates have for it. */
export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  /** What an answer thinks before it says something, where that does not stand in the content. */
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCall[];
  /** Which call a result answers. */
  readonly tool_call_id?: string;
  /** Who speaks, or which tool a result is of. */
  readonly name?: string;
}
export interface ToolCall {
  readonly id?: string;
  readonly type: 'function';
  readonly function: {
    readonly name: string;
    /** An object, or its JSON as the model wrote it. */
    readonly arguments: string | Readonly<Record<string, unknown>>;
  };
}
/** Shows a row of the data, or one of the examples that it becomes. */
export interface RowView {
  /** The index of the row in the data, from 0. */
  readonly index: number;
  readonly line: number;
  /** The assistant turn that this example trains, from 1, when the row is several examples; null when it is one. */
  readonly turn: number | null;
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
  readonly tokens: readonly TokenView[];
  readonly trainedTokens: number;
  readonly problem: ProblemValue | null;
}
/**
 * What can be done about rows that a check lists: leave them out, raise the maximum length, cut them at the left, train a long one in parts,
 * write what the system says into the first turn, or find and replace in them.
 */
export type Mend =
  | { readonly kind: 'exclude' | 'cut-left' | 'split' | 'fold-system' | 'replace' }
  | { readonly kind: 'raise-length'; readonly to: number };
export interface DataCheck {
  /** Of the check, such as `near-duplicates`: several may have one name, and more names will come. */
  readonly name: string;
  /** A note is worth knowing and may be as it should be. */
  readonly severity: 'blocking' | 'warning' | 'note' | 'passed';
  readonly title: string;
  readonly detail: string;
  /** Why it matters; empty where there is nothing to say. */
  readonly why: string;
  readonly mend: Mend | null;
  /** The indices of the rows it is about, from 0; at most 10,000. */
  readonly rows: readonly number[];
  /** All of the rows it means. */
  readonly count: number;
}
export interface DataReport {
  readonly rows: number;
  /**
   * How many examples are trained on: more than there are rows where a chat template makes each turn of a conversation an
   * example.
   */
  readonly examples: number;
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly truncatedRows: number;
  /**
   * The length at which rows are truncated, in tokens: the one asked for, or the number of positions of the model if that is
   * less.
   */
  readonly maxLength: number;
  readonly duplicateRows: number;
  readonly longest: number;
  /** The number of examples of each range of lengths; `upTo` is inclusive. */
  readonly lengths: readonly { readonly upTo: number; readonly rows: number }[];
  readonly checks: readonly DataCheck[];
  /** Files that differ from those in the version of the data set, which the first of the checks names. */
  readonly changed: readonly string[];
}
/** Says how rows are read. */
export interface ReadingRows {
  /** The settings given; those left out are those of the default recipe, or those of the run of the adapter that is named. */
  readonly rowSettings?: Partial<RowSettings>;
}
/** Says how rows are read that are only looked at. */
export interface ViewingRows extends ReadingRows {
  /** The date that a chat template prints, such as `2026-07-15`; left out: today. */
  readonly day?: string;
}
export interface RenderedRow {
  /** The index of the row, from 0, and of its assistant turn that is trained, from 1, when the row is several examples. */
  readonly row?: number;
  readonly turn?: number;
  readonly text: string;
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
}
export interface RenderedRows {
  readonly rows: readonly (RenderedRow | { readonly problem: ProblemValue })[];
  /** The index of the row to go on from; null at the end of the data. */
  readonly next: number | null;
}
/** A file of JSON Lines that rows were written to. */
export interface WrittenRows {
  readonly path: string;
  readonly rows: number;
  readonly bytes: number;
}
export interface DataRequests {
  'datasets.list': (p: { projectId: string }) => readonly Dataset[];
  'datasets.add': (p: { projectId: string; name?: string; data: DataFiles }) => Dataset;
  /** Makes a version of what the files of a data set hold now, unless that is what the newest version holds. */
  'datasets.addVersion': (p: { id: string }) => Dataset;
  /** Makes a version with a change of what is done to the rows, and returns the data set with it. */
  'datasets.change': (p: { id: string; change: AskedChange }) => Dataset;
  /** Goes back to the version that the present one was made of. */
  'datasets.undo': (p: { id: string }) => Dataset;
  /** All versions, the newest first. */
  'datasets.versions': (p: { id: string }) => readonly VersionDifference[];
  /** Makes a version, whichever, the present one. */
  'datasets.use': (p: { id: string; versionId: string }) => Dataset;
  'datasets.columns': (p: { path: string }) => DataColumns;
  'datasets.remove': (p: { id: string }) => null;
  /** Answers rows as the mask inspector shows them. `total` is null until the rows have been read to the end. */
  'data.rows': (p: { model: ModelRef; offset: number; limit: number; maxLength: number } & RowsRef & ViewingRows) => {
    rows: readonly RowView[];
    total: number | null;
  };
  /**
   * Answers rows from row `offset` on, as many as can be had quickly, with ids and labels but without the text of each token.
   */
  'data.render': (p: { model: ModelRef; offset: number } & RowsRef & ViewingRows) => RenderedRows;
  'data.report': (p: { model: ModelRef; maxLength: number } & RowsRef & ViewingRows) => DataReport;
  /** Writes the rows of a split, with what was done to them, as a file of JSON Lines. */
  'data.write': (p: { out: string; replace?: boolean } & RowsRef) => WrittenRows;
}
