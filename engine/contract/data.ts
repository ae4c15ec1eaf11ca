/** Data sets and rows: how they are read, checked and shown. */
import type { ProblemValue } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { ModelRef } from './models.ts';

export type DataFormat = 'messages' | 'sharegpt' | 'alpaca' | 'prompt-completion' | 'text' | 'tokens';
export interface Dataset {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly trainPaths: readonly string[];
  readonly evalPaths: readonly string[];
  readonly format: DataFormat;
  readonly trainRows: number;
  readonly evalRows: number;
  /** Over the files to train on and those to evaluate on, as what they are. */
  readonly hash: string;
  readonly createdAt: number;
}
/** What files of rows are, whatever the model. */
export interface DataScan {
  readonly format: DataFormat;
  readonly trainRows: number;
  readonly evalRows: number;
  readonly hash: string;
}
/** The fields of a file of rows, for a person to say what they mean where `format` is null. */
export interface DataColumns {
  readonly format: DataFormat | null;
  readonly columns: readonly { readonly name: string; readonly example: string }[];
}
/** Which field is what. Without a question the answer is plain text. */
export interface ColumnMapping {
  readonly question: string | null;
  readonly answer: string;
  readonly system: string | null;
}
export type MappedData = Pick<Dataset, 'trainPaths' | 'evalPaths'>;
/** What a token is to the loss. */
export type TokenRole = 'trained' | 'ignored' | 'special' | 'truncated';
export interface TokenView {
  readonly id: number;
  readonly text: string;
  readonly role: TokenRole;
}
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
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
/** The files of a split as they were when their data set was added. */
export interface AddedFiles {
  readonly rows: number;
  /** Null where it cannot be compared: it is that of both splits, and one of them is read. */
  readonly hash: string | null;
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
  /** The files are others than those that were added as a data set: the first of the checks. */
  readonly changed: boolean;
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
  'datasets.add': (p: {
    projectId: string;
    name?: string;
    trainPaths: readonly string[];
    evalPaths: readonly string[];
    /** A copy of the files is made, in which their fields mean this. */
    mapping?: ColumnMapping;
  }) => Dataset;
  'datasets.columns': (p: { path: string }) => DataColumns;
  'datasets.remove': (p: { id: string }) => null;
  'datasets.rows': (p: {
    datasetId: string;
    modelId: string;
    split: 'train' | 'eval';
    offset: number;
    limit: number;
    maxLength: number;
  }) => {
    rows: readonly RowView[];
    total: number;
  };
  'datasets.report': (
    p: { datasetId: string; modelId: string; split: 'train' | 'eval'; maxLength: number } & ReadingRows,
  ) => DataReport;
  /** Some of the rows from row `offset` on, as many as are answered soon. */
  'data.render': (p: { model: ModelRef; data: readonly string[]; offset: number } & ViewingRows) => RenderedRows;
  'data.report': (p: { model: ModelRef; data: readonly string[]; maxLength: number } & ViewingRows) => DataReport;
}
