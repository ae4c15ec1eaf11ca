/** Rows of a data set as token ids and labels: what every format means, and what is wrong with a row that cannot be used. */
import { createHash } from 'node:crypto';
import type { ChatMessage, DataFormat } from '../contract.ts';
import { dataFileNames } from '../data-files.ts';
import { sizeOf } from '../formats/files.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import { defaultRecipe, type RowSettings } from '../recipe.ts';
import { type Content, contentOf, type Conversation, detectFormat } from './content.ts';
import type { Day } from './day.ts';
import { encodeCompletion, encodeDocument } from './plain-text.ts';
import type { Encoded } from './encoded.ts';
import { EndTokens } from './end-tokens.ts';
import { ignored } from '../labels.ts';
import { encodeExample, renderConversation } from './mask.ts';
import { readRecords } from './readers/index.ts';
import type { RecordOrProblem, RecordPlace } from './readers/reader.ts';
import type { RowFiles } from './row-files.ts';
import { RowIndex } from './row-index.ts';
import { type ChatTemplate, openTemplate } from './template.ts';
import { tokensOf } from './token-rows.ts';
import type { Tokenizer } from './tokenizer.ts';

/** What is trained on: a row of the data, or one turn of a conversation whose template writes earlier turns differently. */
export interface TokenRow extends Encoded {
  /** Of the row in the data, from 0: the same for all examples of one row. */
  readonly index: number;
  readonly file: string;
  /** 1-based; for a JSON list the line on which the row begins. */
  readonly line: number;
  /** The assistant turn that is trained, from 1, where the row is several examples; null where it is one. */
  readonly turn: number | null;
  /** Messages, from 1, that are trained and do not end in a token that ends an answer; 0 is a completion or a text that does not. */
  readonly endless: readonly number[];
  /** Messages, from 1, whose content the chat template leaves out. */
  readonly leftOut: readonly LeftOut[];
}
interface LeftOut {
  readonly message: number;
  readonly role: ChatMessage['role'];
}
export type RowOrProblem =
  TokenRow | { readonly problem: ProblemValue; readonly index: number; readonly line: number; readonly file: string };

export interface DataRows extends RowsSummary {
  /** In the order of the data; the examples of one row follow one another. */
  readonly rows: RowOrProblem[];
}

/** What is known of a data set when all of its rows have been read. */
export interface RowsSummary {
  readonly format: DataFormat;
  /** SHA-256 of the file; of the files' hashes in hexadecimal when there are several. */
  readonly hash: string;
  /** SHA-256 of each file, in their order. */
  readonly hashes: readonly string[];
  /** Columns with a value that nothing was read from, those of most rows first: `id`, `messages[].name`. */
  readonly unused: readonly UnusedColumn[];
}

export interface UnusedColumn {
  readonly name: string;
  readonly rows: number;
}

/** Rows encoded at the same time; the tokenizer takes some hundred bytes of memory for each of text. */
const maxBatchRows = 32;
const maxBatchBytes = 1 << 20;
const millisecondsBetweenTellings = 5000;

/** How rows are read; settings left out are those of the default recipe. */
export interface RowReading extends Partial<RowSettings> {
  /** False leaves out text and messages, which training never looks at. */
  readonly keepText?: boolean;
  /** What a chat template prints. */
  readonly day?: Day | undefined;
}

/** How far the reading of a data set is. */
export interface ReadingPosition {
  /** Rows that are done. */
  readonly rows: number;
  readonly bytes: number;
  /** Of all files. */
  readonly totalBytes: number;
  /** What is worked on: rows of this file that begin on these lines. */
  readonly file: string;
  readonly firstLine: number;
  readonly lastLine: number;
}
/** Whoever follows a reading: it is told before rows are encoded and while that lasts, may let it wait, and ends it by throwing. */
export type ReadingWatch = (position: ReadingPosition) => void | Promise<void>;

/**
 * Reads all rows into memory. Rows that need a tokenizer or a template that is not there become problems, one per row.
 */
export async function readRows(
  files: RowFiles,
  tokenizer: Tokenizer | null,
  vocabularySize: number,
  reading: RowReading = {},
): Promise<DataRows> {
  const rows: RowOrProblem[] = [];
  const summary = await new RowSource(files, tokenizer, vocabularySize, reading).read((examples) => rows.push(...examples));
  return { rows, ...summary };
}

/** The rows of files for one model: all of them one after another, or a page from the middle. It keeps no row, only where each begins. */
export class RowSource {
  readonly #paths: readonly string[];
  readonly #mapping: Pick<RowFiles, 'mapping'>;
  readonly #newEncoder: () => RowEncoder;
  readonly #index = new RowIndex();
  #viewer: RowEncoder | undefined;
  #total: number | null = null;

  constructor(
    { paths, mapping }: RowFiles,
    tokenizer: Tokenizer | null,
    vocabularySize: number,
    { keepText = true, day, ...settings }: RowReading = {},
  ) {
    this.#paths = paths;
    this.#mapping = mapping === undefined ? {} : { mapping };
    this.#newEncoder = () =>
      new RowEncoder(tokenizer, vocabularySize, { keepText, day, settings: { ...defaultRecipe(), ...settings } });
  }

  /** Rows of the data; null until they have been read to the end. */
  get total(): number | null {
    return this.#total;
  }

  /** Hands over the examples of each row, or its problem, in the order of the data. */
  async read(onRow: (examples: readonly RowOrProblem[]) => void, watch: ReadingWatch = () => {}): Promise<RowsSummary> {
    const encoder = this.#newEncoder();
    const hashes: string[] = [];
    const totalBytes = bytesOf(this.#paths);
    let format: DataFormat | null = null;
    let rows = 0;
    let bytes = 0;
    for (const [number, file] of this.#paths.entries()) {
      const hash = createHash('sha256');
      const onNothing = ({ at, line }: RecordPlace) =>
        watch({ rows, bytes: bytes + at, totalBytes, file, firstLine: line, lastLine: line });
      for await (const batch of inBatches(readRecords(file, { hash, onNothing, ...this.#mapping }))) {
        const [first, last] = [batch[0]!, batch.at(-1)!];
        const at = { rows, bytes: bytes + first.at, totalBytes, file, firstLine: first.line, lastLine: last.line };
        const tell = () => watch(at);
        await tell();
        for (const [i, record] of batch.entries()) {
          this.#index.add(rows + i, number, record);
          if ('value' in record) format ??= detectFormat(record.value);
        }
        const encoded = await watched(Promise.all(batch.map((record, i) => encoder.encode(record, file, rows + i))), tell);
        for (const examples of encoded) onRow(examples);
        rows += batch.length;
      }
      bytes += sizeOf(file);
      hashes.push(hash.digest('hex'));
    }
    if (rows === 0) throw noRow(this.#paths);
    this.#total = rows;
    return { format: format ?? 'messages', hash: hashOfHashes(hashes), hashes, unused: encoder.unused };
  }

  /** The examples of `limit` rows from row `offset` on. Reads no further than to the last of them. */
  async page(offset: number, limit: number, watch: ReadingWatch = () => {}): Promise<readonly RowOrProblem[]> {
    const encoder = (this.#viewer ??= this.#newEncoder());
    const totalBytes = bytesOf(this.#paths);
    const start = this.#index.nearest(offset);
    const examples: RowOrProblem[] = [];
    let { row } = start;
    let before = bytesOf(this.#paths.slice(0, start.file));
    for (const [number, file] of [...this.#paths.entries()].slice(start.file)) {
      const from = number === start.file ? start.place : null;
      const onNothing = ({ at, line }: RecordPlace) =>
        watch({ rows: row, bytes: before + at, totalBytes, file, firstLine: line, lastLine: line });
      for await (const batch of inBatches(readRecords(file, { from, onNothing, ...this.#mapping }))) {
        const [first, last] = [batch[0]!, batch.at(-1)!];
        const at = { rows: row, bytes: before + first.at, totalBytes, file, firstLine: first.line, lastLine: last.line };
        const tell = () => watch(at);
        await tell();
        batch.forEach((record, i) => this.#index.add(row + i, number, record));
        const wanted = batch.map((record, i) => ({ record, index: row + i }));
        const inPage = wanted.filter(({ index }) => index >= offset && index < offset + limit);
        const encoded = await watched(
          Promise.all(inPage.map(({ record, index }) => encoder.encode(record, file, index))),
          tell,
        );
        examples.push(...encoded.flat());
        row += batch.length;
        if (row >= offset + limit) return examples;
      }
      before += sizeOf(file);
    }
    if (row === 0) throw noRow(this.#paths);
    this.#total = row;
    return examples;
  }
}

/** Tells of work again and again while it lasts: a row may have millions of characters, and whoever follows may want it to end. */
async function watched<T>(work: Promise<T>, tell: () => void | Promise<void>): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const again = () => void Promise.resolve().then(tell).catch(reject);
  const timer = setInterval(again, millisecondsBetweenTellings);
  try {
    return await Promise.race([work, ended]);
  } finally {
    clearInterval(timer);
  }
}

/** Records that are encoded at the same time. */
async function* inBatches(records: AsyncIterable<RecordOrProblem>): AsyncGenerator<readonly RecordOrProblem[]> {
  let batch: RecordOrProblem[] = [];
  let bytes = 0;
  for await (const record of records) {
    batch.push(record);
    bytes += record.bytes;
    if (batch.length < maxBatchRows && bytes <= maxBatchBytes) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function bytesOf(paths: readonly string[]): number {
  return paths.reduce((sum, path) => sum + sizeOf(path), 0);
}

/** Of all files of a data set, by the SHA-256 of each in hexadecimal. */
export function hashOfHashes(hashes: readonly string[]): string {
  return hashes.length === 1 ? hashes[0]! : createHash('sha256').update(hashes.join('\n')).digest('hex');
}

export function noRow(paths: readonly string[]): Problem {
  return new Problem('data-empty', `There is no row in ${paths.join(', ')}.`, `Give rows as ${dataFileNames}.`);
}

class RowEncoder {
  readonly #tokenizer: Tokenizer | null;
  readonly #vocabularySize: number;
  readonly #keepText: boolean;
  readonly #day: Day | undefined;
  readonly #settings: RowSettings;
  /** Rows that have each column that is not used. */
  readonly #unused = new Map<string, number>();
  #ends: EndTokens | undefined;
  /** Or why there is none: told for every row, found out once. */
  #template: ChatTemplate | Problem | undefined;

  constructor(
    tokenizer: Tokenizer | null,
    vocabularySize: number,
    { keepText, day, settings }: { readonly keepText: boolean; readonly day: Day | undefined; readonly settings: RowSettings },
  ) {
    this.#tokenizer = tokenizer;
    this.#vocabularySize = vocabularySize;
    this.#keepText = keepText;
    this.#day = day;
    this.#settings = settings;
  }

  get unused(): UnusedColumn[] {
    return [...this.#unused]
      .map(([name, rows]) => ({ name, rows }))
      .toSorted((a, b) => b.rows - a.rows || (a.name < b.name ? -1 : 1));
  }

  /** The examples of a row, or the one problem for which none of it can be used. */
  async encode(record: RecordOrProblem, file: string, index: number): Promise<RowOrProblem[]> {
    const { line } = record;
    if ('problem' in record) return [{ problem: record.problem, index, line, file }];
    try {
      const format = detectFormat(record.value);
      const unused = new Set<string>();
      const examples =
        format === 'tokens'
          ? [await this.#tokens(record.value, unused)]
          : await this.#content(contentOf(record.value, format, this.#tokenizer, unused));
      for (const example of examples) this.#check(example);
      for (const name of unused) this.#unused.set(name, (this.#unused.get(name) ?? 0) + 1);
      return examples.map((example) => ({
        ...{ index, file, line, turn: null, endless: [], leftOut: [] },
        ...example,
        ...(this.#keepText ? {} : { messages: null, text: '' }),
      }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { code, message, hint } = error;
      const problem = new Problem(code, `${file}, line ${line}: ${message}`, hint, { line });
      // A tokenizer past its limits goes on with the text and cannot be ended, so the row is not left out and the rest read.
      if (code === 'out-of-memory' || code === 'tokenizer-unsupported') throw problem;
      return [{ problem: problem.toValue(), index, line, file }];
    }
  }

  async #tokens(value: Readonly<Record<string, unknown>>, unused: Set<string>): Promise<Encoded> {
    const { inputIds, labels } = tokensOf(value, unused);
    this.#checkRange(inputIds, 'input_ids', false);
    this.#checkRange(labels, 'labels', true);
    const text = this.#keepText ? await this.#tokenizer?.decode([...inputIds]) : undefined;
    return { inputIds, labels, messages: null, text: text ?? '' };
  }

  async #content(content: Content): Promise<(Encoded & Partial<TokenRow>)[]> {
    const tokenizer = this.#tokenizer;
    if (tokenizer === null)
      throw new Problem(
        'tokenizer-missing',
        'The row is text, and the model has no tokenizer.',
        'Use rows with "input_ids", or a model with its tokenizer.json; transformers makes one of a tokenizer.model.',
      );
    switch (content.kind) {
      case 'messages':
        return this.#conversation(content, tokenizer);
      case 'completion':
        return [await encodeCompletion(content, tokenizer)];
      case 'text':
        return [await encodeDocument(content.text, tokenizer, this.#settings)];
    }
  }

  async #conversation(conversation: Conversation, tokenizer: Tokenizer): Promise<(Encoded & Partial<TokenRow>)[]> {
    this.#ends ??= new EndTokens(tokenizer);
    const { examples, leftOut } = renderConversation(this.#openTemplate(tokenizer), conversation, this.#ends);
    return Promise.all(
      examples.map(async (example) => ({
        ...(await encodeExample(example, tokenizer)),
        messages: example.messages,
        text: example.text,
        turn: examples.length > 1 ? example.turn : null,
        endless: example.endless,
        leftOut: leftOut.map((message) => ({ message, role: conversation.messages[message - 1]!.role })),
      })),
    );
  }

  #openTemplate(tokenizer: Tokenizer): ChatTemplate {
    if (this.#template === undefined) {
      try {
        this.#template = openTemplate(tokenizer, { day: this.#day });
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.#template = error;
      }
    }
    if (this.#template instanceof Problem) throw this.#template;
    return this.#template;
  }

  #checkRange(ids: Int32Array, name: string, labels: boolean): void {
    const at = ids.findIndex((id) => (id < 0 && !(labels && id === ignored)) || id >= this.#vocabularySize);
    if (at >= 0)
      throw new Problem(
        'token-out-of-range',
        `'${name}' has ${ids[at]} at position ${at}; the model has the ids 0 to ${this.#vocabularySize - 1}.`,
        'The row was made with the tokenizer of another model.',
      );
  }

  #check({ inputIds, labels }: Encoded): void {
    if (inputIds.length === 0) throw new Problem('data-empty', 'the row has no tokens.', 'Remove the row.');
    if (!(labels.findIndex((label, t) => t > 0 && label !== ignored) > 0))
      throw new Problem(
        'nothing-to-train',
        'no token of the row is trained.',
        'A conversation needs an assistant turn; a label must stand after the first token.',
      );
    this.#checkRange(inputIds, 'input_ids', false);
  }
}
