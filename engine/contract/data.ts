/** Data sets and rows: how they are read, checked and shown. */
import type { ProblemValue } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { ModelRef } from './models.ts';

/** What rows are; `unknown` where none of them is of a format that is known. */
export type DataFormat = 'messages' | 'sharegpt' | 'alpaca' | 'prompt-completion' | 'text' | 'tokens' | 'unknown';
export type Split = 'train' | 'eval';
/** A file of a data set as it was when a version of it was made. */
export interface VersionFile {
  readonly path: string;
  readonly split: Split;
  readonly bytes: number | null;
  /** Null in versions of an earlier studio, until their files are looked at again. */
  readonly sha256: string | null;
}
/** What the files of a data set held at one time. It never changes; files that have changed are another version. */
export interface DatasetVersion {
  readonly id: string;
  readonly datasetId: string;
  /** From 1. */
  readonly sequence: number;
  readonly files: readonly VersionFile[];
  readonly mapping: ColumnMapping | null;
  readonly format: DataFormat;
  readonly trainRows: number;
  readonly evalRows: number;
  /** SHA-256 over the files to train on and those to evaluate on, as what they are. */
  readonly hash: string;
  readonly createdAt: number;
}
export interface Dataset {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly createdAt: number;
  /** The newest. */
  readonly version: DatasetVersion;
}
/** What files of rows are, whatever the model. */
export type DataScan = Pick<DatasetVersion, 'files' | 'format' | 'trainRows' | 'evalRows' | 'hash'>;
/** Files of rows to train on and to evaluate on, and what their fields mean where no format says it. */
export interface DataFiles {
  readonly paths: readonly string[];
  readonly evalPaths?: readonly string[];
  readonly mapping?: ColumnMapping;
}
/** Rows, wherever they are named: by a version of a data set, or by files as they are now. */
export type DataRef = { readonly versionId: string } | DataFiles;
/** Rows of one split; left out, those to train on. */
export interface RowsRef {
  readonly data: DataRef;
  readonly split?: Split;
}
/** Names a version of a data set to people, also when the data set is gone. */
export interface VersionName {
  readonly id: string;
  /** From 1 within its data set. */
  readonly sequence: number;
  /** The data set as it was called then. */
  readonly dataset: string;
}
/** Files as a job gets them. */
export interface DataAt extends DataFiles {
  /** The version that they are of; left out where they were named by their paths. */
  readonly version?: VersionName;
  /** SHA-256 that the version has of each file, by its path; files without one are not compared. */
  readonly hashes?: Readonly<Record<string, string>>;
}
/** `RowsRef` as a job gets it. */
export interface RowsAt {
  readonly data: DataAt;
  readonly split?: Split;
}
/** The fields of a file of rows, for a person to say what they mean where `format` is null. */
export interface DataColumns {
  readonly format: DataFormat | null;
  /** What fields of unknown names may be; null where no name says it. */
  readonly guess: { readonly question: string | null; readonly answer: string | null; readonly system: string | null };
  readonly columns: readonly { readonly name: string; readonly example: string }[];
}
/** Where a text comes from: a column by its name, a template such as `{title}: {body}`, or a text that is the same in all rows. */
export type MappedText = string | { readonly template: string } | { readonly constant: string };
/** Which field is what. Without a question the answer is plain text. */
export interface ColumnMapping {
  readonly question: MappedText | null;
  readonly answer: MappedText;
  readonly system: MappedText | null;
}
/** What a token is to the loss. */
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
/** A row of the data, or one of the examples it becomes. */
export interface RowView {
  /** Of the row in the data, from 0. */
  readonly index: number;
  readonly line: number;
  /** The assistant turn that is trained, from 1, where the row is several examples; null where it is one. */
  readonly turn: number | null;
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
  readonly tokens: readonly TokenView[];
  readonly trainedTokens: number;
  readonly problem: ProblemValue | null;
}
export interface DataCheck {
  readonly severity: 'blocking' | 'warning' | 'passed';
  readonly title: string;
  readonly detail: string;
  /** 0-based rows it means, at most 100. */
  readonly rows: readonly number[];
}
export interface DataReport {
  readonly rows: number;
  /** What is trained on: more than the rows where a chat template makes each turn of a conversation an example of its own. */
  readonly examples: number;
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly truncatedRows: number;
  /** At which they are cut: as was asked for, or what the model has positions for where that is less. */
  readonly maxLength: number;
  readonly duplicateRows: number;
  readonly longest: number;
  /** Examples per length bucket; `upTo` is inclusive. */
  readonly lengths: readonly { readonly upTo: number; readonly rows: number }[];
  readonly checks: readonly DataCheck[];
  /** Files that are others than in the version of the data set: the first of the checks names them. */
  readonly changed: readonly string[];
}
/** How rows are read. */
export interface ReadingRows {
  /** Those that are left out are as in the default recipe, or as in the run of an adapter that is named. */
  readonly rowSettings?: Partial<RowSettings>;
}
/** How rows are read that are only looked at. */
export interface ViewingRows extends ReadingRows {
  /** What a chat template prints, `2026-07-15`; today where it is left out. */
  readonly day?: string;
}
export interface RenderedRow {
  /** The row of the data, from 0, and its assistant turn that is trained, from 1: only where the row is several examples. */
  readonly row?: number;
  readonly turn?: number;
  readonly text: string;
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
}
export interface RenderedRows {
  readonly rows: readonly (RenderedRow | { readonly problem: ProblemValue })[];
  /** The row to go on from; null at the end of the data. */
  readonly next: number | null;
}
export interface DataRequests {
  'datasets.list': (p: { projectId: string }) => readonly Dataset[];
  'datasets.add': (p: { projectId: string; name?: string; data: DataFiles }) => Dataset;
  /** Makes a version of what the files of a data set hold now, unless it is what they held. */
  'datasets.addVersion': (p: { id: string }) => Dataset;
  'datasets.columns': (p: { path: string }) => DataColumns;
  'datasets.remove': (p: { id: string }) => null;
  /** Rows as the mask inspector shows them; `total` is null until they have been read to the end. */
  'data.rows': (p: { model: ModelRef; offset: number; limit: number; maxLength: number } & RowsRef & ViewingRows) => {
    rows: readonly RowView[];
    total: number | null;
  };
  /** Some of the rows from row `offset` on, as many as are answered soon: ids and labels, without the text of each token. */
  'data.render': (p: { model: ModelRef; offset: number } & RowsRef & ViewingRows) => RenderedRows;
  'data.report': (p: { model: ModelRef; maxLength: number } & RowsRef & ViewingRows) => DataReport;
}
