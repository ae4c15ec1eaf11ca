/** Defines data sets and rows: how they are read, checked and shown. */
import type { ColumnMapping } from '../mapped-text.ts';
import type { Amount } from '../mixing.ts';
import type { ProblemValue } from '../problem.ts';
import type { RecipeInput, RowSettings } from '../recipe.ts';
import type { ModelRef } from './models.ts';

/** Names the format of rows. It is `unknown` where no row has a known format. */
export type DataFormat =
  'messages' | 'sharegpt' | 'alpaca' | 'prompt-completion' | 'question-answer' | 'text' | 'tokens' | 'unknown';
export type Split = 'train' | 'eval';
/** Describes a file of a data set at the time when a version was made of it. */
export interface VersionFile {
  readonly path: string;
  readonly split: Split;
  readonly bytes: number | null;
  /** Holds the SHA-256 of the file. It is null in versions of an earlier studio until their files are hashed. */
  readonly sha256: string | null;
  /** Names the folder of texts that was added and holds the file. It is left out for a file that was added by itself. */
  readonly folder?: string;
}
/**
 * Identifies a row of a file by its number, from 0, and by a hash of its content in 16 characters, so that it is never mistaken
 * for another row.
 */
export interface SourceRow {
  readonly row: number;
  readonly hash: string;
}
/**
 * Describes one change that a person made to rows. Changes are applied in order while rows are read; files are never changed.
 */
export type DataChange =
  | {
      /** Holds rows back for evaluation. */
      readonly kind: 'split';
      /** Gives the share of all rows, above 0 and below 1. */
      readonly fraction: number;
      readonly seed: number;
      /** Names a column; rows with the same value in it stay together. If it is left out, rows that are wholly equal do. */
      readonly by?: string;
    }
  | {
      /** Leaves rows out. */
      readonly kind: 'exclude';
      readonly files: readonly { readonly path: string; readonly rows: readonly SourceRow[] }[];
    }
  /** Leaves out every repetition of an earlier row. */
  | { readonly kind: 'deduplicate' }
  | {
      /** Leaves out every row but `most` of those with the same value in a column. A row without the column stays. */
      readonly kind: 'balance';
      readonly column: string;
      readonly most: number;
      /** Decides which rows stay. It is left out in versions of an earlier studio, of whose rows the first stay, and is 0 where nobody asks for another. */
      readonly seed?: number;
    }
  | {
      /** Replaces a row, including one that cannot be read. */
      readonly kind: 'edit';
      readonly path: string;
      readonly row: SourceRow;
      /** Holds the whole record, with the columns that the file has. */
      readonly value: Readonly<Record<string, unknown>>;
    }
  | {
      /** Replaces a text, matched exactly, everywhere in a column, or in every column if none is named. */
      readonly kind: 'replace';
      readonly find: string;
      readonly with: string;
      readonly column?: string;
    };
/** A part of a mix: rows, and how many of them there are in an epoch. */
export interface MixPart extends Amount {
  /** Names the part on every screen, in metrics and in checks; it is the only part of the mix with this name. */
  readonly name: string;
  readonly data: DataFiles;
  /** Names the version of the data set that the rows were taken from. It is left out for files that were named by their paths. */
  readonly version?: VersionName;
}
/** Describes rows that are put together from several data sets. */
export interface Mix {
  readonly parts: readonly MixPart[];
  /** Decides which rows are taken where `repeat` or `most` takes some of them. */
  readonly seed: number;
}
/** A part of a mix as it is asked for. Without a name it has that of its data set or of its first file. */
export interface AskedPart extends Amount {
  readonly name?: string;
  readonly data: { readonly versionId: string } | DataFiles;
}
/** A mix as it is asked for. */
export interface AskedMix {
  readonly parts: readonly AskedPart[];
  readonly seed: number;
}
/** Describes a change as it is requested. Rows are those that a person sees, by their numbers in a split of the version. */
export type AskedChange =
  | Exclude<DataChange, { kind: 'exclude' | 'edit' }>
  | { readonly kind: 'edit'; readonly split: Split; readonly row: number; readonly value: Readonly<Record<string, unknown>> }
  | { readonly kind: 'exclude'; readonly split: Split; readonly rows: readonly number[] };
/** Records what the files of a data set held at one time. It never changes: files that have changed make a new version. */
export interface DatasetVersion {
  readonly id: string;
  readonly datasetId: string;
  /** Numbers the version within its data set, from 1. */
  readonly sequence: number;
  readonly files: readonly VersionFile[];
  readonly mapping: ColumnMapping | null;
  /** Lists the parts that the rows are put together from, or is null where the data set is not a mix. `files` are then the files of all parts. */
  readonly mix: Mix | null;
  /** Lists the changes to the rows of the files. */
  readonly changes: readonly DataChange[];
  /** Gives the sequence of the version that this one was made from, or null for the first. */
  readonly parent: number | null;
  readonly format: DataFormat;
  readonly trainRows: number;
  readonly evalRows: number;
  /**
   * Holds the SHA-256 over the training files, the evaluation files and the changes to their rows. It depends on which of the
   * two a file is for.
   */
  readonly hash: string;
  readonly createdAt: number;
}
export interface Dataset {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly createdAt: number;
  /** Holds the newest version, unless a person went back to an earlier one. */
  readonly version: DatasetVersion;
}
/** Holds a version and how it differs from the one that it was made from: `12 rows left out`. */
export interface VersionDifference {
  readonly version: DatasetVersion;
  readonly difference: string;
}
/** Describes files of rows as far as that is possible without a model. */
export type DataScan = Pick<DatasetVersion, 'files' | 'changes' | 'format' | 'trainRows' | 'evalRows' | 'hash'>;
/** Names the files of rows for training and for evaluation, and says what their fields mean where their format does not. */
export interface DataFiles {
  readonly paths: readonly string[];
  readonly evalPaths?: readonly string[];
  readonly mapping?: ColumnMapping;
  readonly changes?: readonly DataChange[];
}
/** Names rows of several data sets that are put together, and what was done to all of them. */
export interface MixedData {
  readonly mix: AskedMix;
  readonly changes?: readonly DataChange[];
}
/** Names rows by a version of a data set, by files in their present state, or as a mix of these. */
export type DataRef = { readonly versionId: string } | DataFiles | MixedData;
/** Names the rows of one split. Without `split` they are those to train on. */
export interface RowsRef {
  readonly data: DataRef;
  readonly split?: Split;
}
/** Names a version of a data set for people, even after the data set was removed. */
export interface VersionName {
  readonly id: string;
  /** Numbers the version within its data set, from 1. */
  readonly sequence: number;
  /** Holds the name that the data set had when the version was named. */
  readonly dataset: string;
}
/** Names files as a job receives them. Those of a mix are the files of all its parts, and only the parts say how they are read. */
export interface DataAt extends DataFiles {
  readonly mix?: Mix;
  /** Names the version that the files belong to. It is left out for files that were given by their paths. */
  readonly version?: VersionName;
  /** Maps the path of each file to the SHA-256 that the version has for it. A file without one is not compared. */
  readonly hashes?: Readonly<Record<string, string>>;
  /** Lists the folders of texts that the files were found in when the version was made. */
  readonly fromFolders?: readonly string[];
}
/** Names rows as a job receives them; see `RowsRef`. */
export interface RowsAt {
  readonly data: DataAt;
  readonly split?: Split;
}
/** Describes a file of rows before it is added: what it is taken for, and what a person needs to say what its columns mean. */
export interface DataColumns {
  /** Is null if the columns match no known format. */
  readonly format: DataFormat | null;
  /** Says how the format was recognized, or what the rows look like: `there are columns 'instruction' and 'output'`. */
  readonly reason: string;
  /** Says how the file is read: `CSV with ';' between the columns question and answer`. */
  readonly read: string;
  /** Suggests what columns with unknown names mean, or is null where no name tells. */
  readonly guess: { readonly question: string | null; readonly answer: string | null; readonly system: string | null };
  /** Lists the columns and the fields within them (`meta.answer`), each with its first value that is not empty. */
  readonly columns: readonly { readonly name: string; readonly example: string }[];
  /** Holds the first rows as the file has them, with long texts truncated. */
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}
/** Says how the loss treats a token. */
export type TokenRole = 'trained' | 'ignored' | 'special' | 'truncated';
export interface TokenView {
  readonly id: number;
  readonly text: string;
  readonly role: TokenRole;
}
/** Holds a message of a conversation, with the fields that OpenAI and chat templates use. */
export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  readonly content: string;
  /** Holds the reasoning of an answer, where it is stored beside the content. */
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCall[];
  /** Names the call that a result answers. */
  readonly tool_call_id?: string;
  /** Names the speaker, or the tool that a result comes from. */
  readonly name?: string;
}
export interface ToolCall {
  readonly id?: string;
  readonly type: 'function';
  readonly function: {
    readonly name: string;
    /** Holds an object, or its JSON as the model wrote it. */
    readonly arguments: string | Readonly<Record<string, unknown>>;
  };
}
/** Says what a row of the data is, as a list shows it. */
export interface RowLine {
  /** Holds the index of the row in the data, from 0. */
  readonly index: number;
  readonly line: number;
  /** Names the part of the mix that the row is from, or is null where the data is not a mix. */
  readonly part: string | null;
  /** Holds the first thing that the user says, or else the beginning of the text; at most 240 characters. */
  readonly headline: string;
  /** Holds the number of examples that it becomes; 0 where it cannot be used. */
  readonly examples: number;
  /** Holds the tokens of its longest example, and the trained tokens of all of them within the maximum length. */
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly problem: ProblemValue | null;
}
/** Says in which state the files of both splits were when an answer was read from them. */
export interface ReadFiles {
  /** Differs as soon as a file is written. Answers with different stamps are of different contents and must not be shown together. */
  readonly stamp: string;
  /**
   * Lists the files that are known to differ from those in the version: those that were written while the rows were looked at, and in a
   * report all of them.
   */
  readonly changed: readonly string[];
}
/** Shows a row of the data with all that is known of it. */
export interface RowDetail extends ReadFiles {
  /** Holds the examples that it becomes, or one with the problem for which it cannot be used; empty where there is no such row. */
  readonly examples: readonly RowView[];
  /** Holds the row as JSON, with what was done to it; null where it cannot be read. */
  readonly record: string | null;
  readonly template: {
    /** Says whether the chat template of the model prints the date. */
    readonly printsDay: boolean;
    /** Says whether it has a switch that turns thoughts on and off. */
    readonly switchesThinking: boolean;
  };
}
/** A row that has a text that was looked for, with what stands around it. */
export interface FoundRow {
  /** Holds the index of the row in the data, from 0. */
  readonly row: number;
  readonly line: number;
  readonly before: string;
  readonly found: string;
  readonly after: string;
}
/** Describes the sequence in which a run trains a row for the first time. */
export interface RowPack {
  /** Holds the step that trains it, from 1. */
  readonly step: number;
  /** Holds the rows of the sequence in their order, and the tokens that each brings. */
  readonly parts: readonly { readonly row: number; readonly tokens: number }[];
}
/** Tokens with their labels, as a message carries them; the label -100 stands for a token that is not trained. */
export interface LabelledRow {
  readonly inputIds: readonly number[];
  readonly labels: readonly number[];
}
/** Holds the loss in nats of each trained token of some examples, in their order. */
export interface RowLosses {
  /** Holds the losses of the model alone. */
  readonly base: readonly (readonly number[])[];
  /** With the adapter; null where none was named. */
  readonly adapted: readonly (readonly number[])[] | null;
}
/** Shows one of the examples that a row of the data becomes. */
export interface RowView {
  /** Gives the index of the row in the data, from 0. */
  readonly index: number;
  readonly line: number;
  /**
   * Numbers the assistant turn that this example trains, from 1, when the row is several examples. It is null when the row is
   * one.
   */
  readonly turn: number | null;
  /** Names the part of the mix that the row is from, or is null where the data is not a mix. */
  readonly part: string | null;
  readonly messages: readonly ChatMessage[] | null;
  /** Lists the definitions of the tools that the conversation may call, in OpenAI's form. */
  readonly tools: readonly Readonly<Record<string, unknown>>[];
  readonly text: string;
  readonly tokens: readonly TokenView[];
  readonly trainedTokens: number;
  /** Says what the chat template adds to ask for each trained turn. */
  readonly asks: readonly string[];
  readonly problem: ProblemValue | null;
}
/**
 * Says what can be done about what a check found: leave its rows out, raise the maximum length, move the system prompt into the
 * first turn, find and replace in the rows, say what the columns mean, or read the files again.
 */
export type Fix =
  | { readonly kind: 'exclude' | 'fold-system' | 'map' | 'renew' }
  /** `find` is the first text that was found. */
  | { readonly kind: 'replace'; readonly find?: string }
  | { readonly kind: 'raise-length'; readonly to: number };
export interface DataCheck {
  /** Names the check, such as `near-duplicates`. Several findings may share a name, and names will be added. */
  readonly name: string;
  /** Says how serious the finding is. A note is worth knowing and may be intended. */
  readonly severity: 'blocking' | 'warning' | 'note' | 'passed';
  readonly title: string;
  readonly detail: string;
  /** Says why it matters. It is empty where there is nothing to say. */
  readonly why: string;
  readonly fix: Fix | null;
  /** Gives the indices of the rows concerned, from 0; at most 10,000. */
  readonly rows: readonly number[];
  /** Counts all rows concerned. */
  readonly count: number;
  /** Says how many of them are in each part of a mix. It is left out where the data is not a mix, and where not all of them are named. */
  readonly parts?: readonly { readonly name: string; readonly rows: number }[];
}
/** Counts what a part of a mix has in an epoch. */
export interface PartCounts {
  readonly name: string;
  readonly rows: number;
  readonly tokens: number;
  readonly trainedTokens: number;
}
/** A text that several rows begin with, up to the same number of tokens. */
export interface SharedPrefix {
  readonly text: string;
  readonly tokens: number;
  readonly rows: number;
  /** Holds the first row that begins with it. */
  readonly row: number;
}
/** Says what the rows that can be used are like. The tokens of a row that is several examples are those of the longest. */
export interface DataStatistics {
  /** Holds the tokens that half of the rows do not exceed, and that 95 of 100 do not exceed. */
  readonly medianTokens: number;
  readonly p95Tokens: number;
  /** Holds the indices of the longest rows, the longest first, and of the shortest; at most 100 each. */
  readonly longest: readonly number[];
  readonly shortest: readonly number[];
  /** Holds the number of conversations of so many messages, those of the system not counted; 20 stands for 20 and more. */
  readonly turns: readonly { readonly turns: number; readonly rows: number }[];
  /** Holds the number of rows in each language, as far as it is known, most first. */
  readonly languages: readonly { readonly name: string; readonly rows: number }[];
  /** Beginnings that the most rows share, such as a system prompt. */
  readonly prefixes: readonly SharedPrefix[];
}
export interface DataReport extends ReadFiles {
  readonly rows: number;
  /**
   * Counts the training examples. There are more than rows where a chat template makes each turn of a conversation an example.
   */
  readonly examples: number;
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly truncatedRows: number;
  /**
   * Gives the length at which rows are truncated, in tokens: the requested one, or the number of positions of the model if that
   * is less.
   */
  readonly maxLength: number;
  readonly duplicateRows: number;
  readonly longest: number;
  /** Counts the examples in each range of lengths; `upTo` is inclusive. */
  readonly lengths: readonly { readonly upTo: number; readonly rows: number }[];
  readonly statistics: DataStatistics;
  readonly checks: readonly DataCheck[];
  /** Counts what each part of a mix has. It is empty where the data is not a mix. */
  readonly parts: readonly PartCounts[];
}
/** Shows a row as its file has it, with edits and replacements applied, before any mapping. */
export interface SourceRecord {
  readonly path: string;
  readonly line: number;
  /** Is null for a row that cannot be read. */
  readonly value: Readonly<Record<string, unknown>> | null;
  /** Holds the text in the file that cannot be read as a row, truncated if it is long. It is null for a file that is not text. */
  readonly text: string | null;
  readonly problem: ProblemValue | null;
}
/** Says where a row is: its split, and its index there from 0. */
export interface RowPlace {
  readonly split: Split;
  readonly row: number;
}
/** Describes a place in a row where a text was found. */
export interface FoundPlace {
  readonly split: Split;
  /** Gives the index of the row, from 0. */
  readonly row: number;
  /** Names the place in the row, such as `messages.1.content`. */
  readonly field: string;
  /** Holds the text before the match, and `after` the text behind it, both truncated if they are long. */
  readonly before: string;
  readonly after: string;
}
/** Says where a text occurs in the rows of both splits, so that a person can look before replacing it. */
export interface FoundText {
  readonly rows: number;
  readonly places: number;
  /** Lists the first places. */
  readonly first: readonly FoundPlace[];
}
/** Counts the values of a column over the rows of both splits. */
export interface ColumnValues {
  /** Lists the most frequent values with the number of rows of each, the most frequent first. */
  readonly values: readonly { readonly value: string; readonly rows: number }[];
  /** Counts all different values. */
  readonly different: number;
  /** Counts the rows that do not have the column. */
  readonly without: number;
}
/** Says how rows are read. */
export interface ReadingRows {
  /**
   * Holds the settings that were given. Those left out have the default recipe's values, or those of the run of the named
   * adapter.
   */
  readonly rowSettings?: Partial<RowSettings>;
}
/** Says how rows are read that are only displayed. */
export interface ViewingRows extends ReadingRows {
  /** Gives the date that a chat template prints, such as `2026-07-15`. If it is left out, it is today. */
  readonly day?: string;
}
export interface RenderedRow {
  /**
   * Gives the index of the row, from 0; `turn` numbers its trained assistant turn, from 1, when the row is several examples.
   */
  readonly row?: number;
  readonly turn?: number;
  readonly text: string;
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
}
export interface RenderedRows {
  readonly rows: readonly (RenderedRow | { readonly problem: ProblemValue })[];
  /** Gives the index of the row to continue from, or null at the end of the data. */
  readonly next: number | null;
}
/** Holds rows that a person pasted. JSON may be a list of rows, or a row on each line. */
export interface PastedText {
  readonly projectId: string;
  readonly text: string;
  readonly format: 'json' | 'csv' | 'text';
}
/** Describes a JSON Lines or Parquet file that rows were written to. */
export interface WrittenRows {
  readonly path: string;
  readonly rows: number;
  readonly bytes: number;
  /** Lists the columns of Parquet files that are written with another type: `'created': dates are written as text`. */
  readonly changed: readonly string[];
  readonly leftOut: LeftOutRows;
}
/** Counts the rows that could not be read and were left out of a file that was written. */
export interface LeftOutRows {
  readonly rows: number;
  /** Says of the first of these rows where each is and why it cannot be read. */
  readonly reasons: readonly string[];
}
export interface DataRequests {
  'datasets.list': (p: { projectId: string }) => readonly Dataset[];
  'datasets.add': (p: { projectId: string; name?: string; data: DataFiles }) => Dataset;
  /** Makes a version of what the files of a data set hold now, unless that is what the newest version holds. */
  'datasets.addVersion': (p: { id: string }) => Dataset;
  /** Makes a version with one more change to the rows, and returns the data set with it. */
  'datasets.change': (p: { id: string; change: AskedChange }) => Dataset;
  /** Makes a data set that is a mix of versions of others. */
  'datasets.mix': (p: { projectId: string; name?: string; mix: AskedMix }) => Dataset;
  /** Makes a version of a mix with other parts or other numbers; what was done to its rows stays. */
  'datasets.remix': (p: { id: string; mix: AskedMix }) => Dataset;
  /** Goes back to the version that the present one was made from. */
  'datasets.undo': (p: { id: string }) => Dataset;
  /** Lists all versions, newest first. */
  'datasets.versions': (p: { id: string }) => readonly VersionDifference[];
  /** Makes any version the present one. */
  'datasets.use': (p: { id: string; versionId: string }) => Dataset;
  /** Gives a data set another name, which no other one in its project may have. */
  'datasets.rename': (p: { id: string; name: string }) => Dataset;
  /** Makes a version with another mapping of the columns; null leaves the format to be recognized. */
  'datasets.map': (p: { id: string; mapping: ColumnMapping | null }) => Dataset;
  /**
   * Makes a version that reads a file or folder at another place, to which a person has moved it. It is refused with `data-changed` where
   * the content is another one, unless `evenIfChanged` is true.
   */
  'datasets.relocate': (p: { id: string; from: string; to: string; evenIfChanged?: boolean }) => Dataset;
  /** Copies files of rows, or a text that was pasted, into the folder of the project, and returns where they are now. */
  'datasets.keep': (p: { projectId: string; paths: readonly string[] } | PastedText) => { paths: readonly string[] };
  'datasets.columns': (p: { path: string }) => DataColumns;
  'datasets.remove': (p: { id: string }) => null;
  /** Returns at most 200 rows as a list shows them. `total` is null until the rows have been read to the end. */
  'data.rows': (p: { model: ModelRef; offset: number; limit: number; maxLength: number } & RowsRef & ViewingRows) => {
    rows: readonly RowLine[];
    total: number | null;
  } & ReadFiles;
  /** Answers one row as the mask inspector shows it. */
  'data.row': (p: { model: ModelRef; row: number; maxLength: number } & RowsRef & ViewingRows) => RowDetail;
  /**
   * Answers the sequence in which a run with this recipe trains a row for the first time; null where it does not train it, or packs no rows.
   * All rows are read for it.
   */
  'data.pack': (p: { model: ModelRef; row: number; recipe: RecipeInput } & RowsRef) => RowPack | null;
  /** Computes the loss of each trained token of a row, within the maximum length, without and with an adapter. */
  'data.losses': (
    p: { model: ModelRef; adapter: string | null; row: number; maxLength: number } & RowsRef & ViewingRows,
  ) => RowLosses;
  /**
   * Looks for a text in the rows from row `from` on, in whatever case it is written. It answers when it has found some or has looked for a
   * while; `next` is the row to go on from, null at the end of the data.
   */
  'data.find': (p: { model: ModelRef; text: string; from: number } & RowsRef) => {
    found: readonly FoundRow[];
    next: number | null;
  } & ReadFiles;
  /**
   * Returns rows from row `offset` on, as many as are quickly available, with ids and labels but without the text of each
   * token.
   */
  'data.render': (p: { model: ModelRef; offset: number } & RowsRef & ViewingRows) => RenderedRows;
  'data.report': (p: { model: ModelRef; maxLength: number } & RowsRef & ViewingRows) => DataReport;
  /** Returns one row as its file has it, for a person to see and change. */
  'data.record': (p: { row: number } & RowsRef) => SourceRecord;
  /** Returns where a row is in other data that read the same files, such as the next version; null where it is no longer there. */
  'data.place': (p: { row: number; in: DataRef } & RowsRef) => RowPlace | null;
  'data.occurrences': (p: { data: DataRef; find: string; column?: string }) => FoundText;
  'data.values': (p: { data: DataRef; column: string }) => ColumnValues;
  /** Writes the rows of a split, with all changes applied, to a JSON Lines file, or to a Parquet file if its name ends with .parquet. */
  'data.write': (p: { out: string; replace?: boolean; skipBadRows?: boolean } & RowsRef) => WrittenRows;
}
