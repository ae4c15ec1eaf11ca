/** Reads the rows of a data set as token ids and labels, and says what is wrong with a row that cannot be used. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { ColumnMapping, DataFormat } from '../contract.ts';
import { dataFileNames } from '../data-files.ts';
import { sizeOf, sizeOfAll, stampOf } from '../formats/files.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import { defaultRecipe, type RowSettings, rowSettings } from '../recipe.ts';
import { ColumnValues } from './checks/columns.ts';
import { markText } from './checks/text-marks.ts';
import { type Content, contentOf, type Conversation, detectFormat, isAsked } from './content.ts';
import type { Day } from './day.ts';
import { type FormatReason, formatReason } from './format-reason.ts';
import { encodeCompletion, encodeDocument } from './plain-text.ts';
import type { Encoded } from './encoded.ts';
import { EndTokens } from './end-tokens.ts';
import { keptRowsVersion, KeptRowsWriter, readKeptRows } from './kept-rows.ts';
import { ignored, type LabelledTokens } from '../labels.ts';
import { encodeExample, renderConversation } from './mask.ts';
import { withoutMedia } from './media.ts';
import { mappingText } from './mapping.ts';
import type { Fields } from './columns.ts';
import { fileBytes, requireFile } from './readers/bytes.ts';
import { readRecords } from './readers/index.ts';
import type { RecordOrProblem, RecordPlace } from './readers/reader.ts';
import { type Rewriting, rewriteOf, rewritings } from './rewriting.ts';
import type { RowFiles } from './row-files.ts';
import { chooseRows, type ChosenFrom, type RowChoice } from './changes.ts';
import {
  type DataRows,
  type FoundFormat,
  type Marks,
  type ReadingWatch,
  type RepeatedValue,
  type RowCache,
  type RowOrProblem,
  type RowReading,
  type RowsSummary,
  type TokenRow,
  type TokensSummary,
  type UnusedColumn,
  unmarked,
  positionOf,
} from './row.ts';
import { RowIndex } from './row-index.ts';
import { SpelledTokens } from './spelled-tokens.ts';
import { thinkingVariables } from './template-inputs.ts';
import { type ChatTemplate, openTemplate, printsDay, type TemplateVariables } from './template.ts';
import { tokensOf } from './token-rows.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * Limits how many rows are encoded at the same time. The tokenizer takes some hundred bytes of memory for each byte of text.
 */
const maxBatchRows = 32;
const maxBatchBytes = 1 << 20;
/** While files are hashed, progress is reported each time this many bytes have been read. */
const hashedBytesBetweenTellings = 1 << 24;
const millisecondsBetweenTellings = 5000;

/** Reads all rows into memory. Rows that need a tokenizer or a template that does not exist become problems, one per row. */
export async function readRows(
  files: RowFiles,
  tokenizer: Tokenizer | null,
  vocabularySize: number,
  reading: RowReading = {},
): Promise<DataRows> {
  const rows: RowOrProblem[] = [];
  const source = new RowSource(files, tokenizer, vocabularySize, reading);
  const summary = await source.readWhole((examples) => rows.push(...examples));
  return { rows, ...summary };
}

type OnRow = (examples: readonly RowOrProblem[]) => void;

/**
 * Reads the rows of files for one model: all of them in sequence, or a page from the middle. It holds no rows in memory, only
 * where each begins. With a cache, the tokens of all rows are made once and kept there.
 */
export class RowSource {
  readonly #paths: readonly string[];
  readonly #mapping: Pick<RowFiles, 'mapping'>;
  /** Says how rows are chosen, where not all rows of the files are wanted. `#choice` holds them once all have been examined. */
  readonly #from: ChosenFrom | null;
  readonly #rewritings: readonly Rewriting[];
  #choice: RowChoice | null = null;
  readonly #cache: RowCache | null;
  /**
   * Holds what decides the tokens besides the content of the files. It is null where the tokens differ each time, because a
   * template prints the time.
   */
  readonly #decidedBy: readonly unknown[] | null;
  readonly #newEncoder: (keepText: boolean) => RowEncoder;
  readonly #index = new RowIndex();
  #viewer: RowEncoder | undefined;
  #total: number | null = null;

  constructor(
    { paths, mapping, changes = [], split = 'train' }: RowFiles,
    tokenizer: Tokenizer | null,
    vocabularySize: number,
    { day, ...given }: RowReading = {},
    cache: RowCache | null = null,
  ) {
    this.#paths = paths;
    this.#mapping = mapping === undefined ? {} : { mapping };
    this.#rewritings = rewritings(changes);
    this.#from = changes.length === this.#rewritings.length ? null : { paths, changes, split };
    this.#cache = cache;
    const settings = rowSettings({ ...defaultRecipe(), ...given });
    const printed = printsDay(tokenizer) ? day : null;
    // The paths count too, because file endings decide formats and problems name files.
    this.#decidedBy =
      printed === undefined
        ? null
        : [keptRowsVersion, cache?.decidedBy, vocabularySize, printed, settings, mapping ?? null, paths, ...this.#rewritings];
    this.#newEncoder = (keepText) => new RowEncoder(tokenizer, vocabularySize, { keepText, day, mapping, settings });
  }

  /** Returns the number of rows of the data, or null until they have been read to the end. */
  get total(): number | null {
    return this.#total;
  }

  /**
   * Passes on the examples of each row without their text, or its problem, in the order of the data. They come from the cache
   * where an earlier reading kept the same rows, otherwise from the files.
   */
  async read(onRow: OnRow, watch: ReadingWatch = () => {}): Promise<TokensSummary> {
    const choice = await this.#chosen(watch);
    if (this.#cache === null || this.#decidedBy === null) {
      const { summary } = await this.#encode(numbered(onRow, choice), watch, { keepText: false, only: choice });
      return { ...summary, notKept: null };
    }
    const stamp = stampOf(this.#paths);
    const hashes = await this.#hashes(watch);
    const key = createHash('sha256')
      .update(JSON.stringify([...this.#decidedBy, hashes]))
      .digest('hex');
    const path = join(this.#cache.folder, key);
    let done = 0;
    const handOn = numbered(onRow, choice);
    const handOver: OnRow = (examples) => {
      done++;
      handOn(examples);
    };
    const kept = await this.#readKept(path, key, handOver, watch);
    if (kept !== null) return { ...kept, notKept: null };

    const writer = new KeptRowsWriter(path, key);
    try {
      let row = 0;
      const keep = (examples: readonly RowOrProblem[], file: number, place: RecordPlace): void => {
        writer.add(file, { ...place, made: examples.map(keptOf) });
        // Rows passed on before a kept file was found to be damaged were verified.
        if (row++ >= done) handOn(examples);
      };
      // All rows are kept, because those left out now are on the other side of a split, or in an earlier version.
      const { summary, isRepeatable } = await this.#encode(keep, watch, { keepText: false, only: null });
      // The files may have changed between hashing and reading.
      const isSame = stampOf(this.#paths) === stamp && summary.hashes.every((hash, i) => hash === hashes[i]);
      if (isSame && isRepeatable) writer.finish(summary);
      return { ...summary, notKept: writer.failure };
    } finally {
      writer.abort();
    }
  }

  /** Passes on the examples of each row with their text and messages. */
  async readWhole(onRow: OnRow, watch: ReadingWatch = () => {}): Promise<RowsSummary> {
    const only = await this.#chosen(watch);
    return (await this.#encode(numbered(onRow, only), watch, { keepText: true, only })).summary;
  }

  /** Returns the rows that are chosen, or null for all of them. Afterwards the place of each row is known. */
  async #chosen(watch: ReadingWatch): Promise<RowChoice | null> {
    if (this.#from !== null && this.#choice === null) {
      this.#choice = await chooseRows(this.#from, watch);
      this.#total = this.#choice.count;
    }
    return this.#choice;
  }

  async #readKept(path: string, key: string, onRow: OnRow, watch: ReadingWatch): Promise<RowsSummary | null> {
    const totalBytes = sizeOfAll(this.#paths);
    let row = 0;
    const summary = await readKeptRows(path, key, async ({ file: number, rows }) => {
      const file = this.#paths[number]!;
      const [first, last] = [rows[0]!, rows.at(-1)!];
      const bytes = sizeOfAll(this.#paths.slice(0, number)) + Math.min(first.at, sizeOf(file));
      await watch({ rows: row, bytes, totalBytes, file, firstLine: first.line, lastLine: last.line });
      for (const { line, at, made } of rows) {
        this.#index.add(row, number, { line, at });
        onRow(made.map((one) => fromKept(one, { index: row, file, line })));
        row++;
      }
    });
    if (summary !== null) this.#total = this.#choice?.count ?? row;
    return summary as RowsSummary | null;
  }

  /** Returns the SHA-256 of each file. */
  async #hashes(watch: ReadingWatch): Promise<readonly string[]> {
    const totalBytes = sizeOfAll(this.#paths);
    const hashes: string[] = [];
    for (const file of this.#paths) {
      const hash = createHash('sha256');
      let told = 0;
      // This refuses a path that is not a file in the same words as reading does.
      requireFile(file);
      for await (const { at } of fileBytes(file, 0, hash)) {
        if (at - told < hashedBytesBetweenTellings) continue;
        told = at;
        await watch({ rows: 0, bytes: 0, totalBytes, file, firstLine: 1, lastLine: 1 });
      }
      hashes.push(hash.digest('hex'));
    }
    return hashes;
  }

  async #encode(
    onRow: (examples: readonly RowOrProblem[], file: number, place: RecordPlace) => void,
    watch: ReadingWatch,
    { keepText, only }: { readonly keepText: boolean; readonly only: RowChoice | null },
  ): Promise<{ readonly summary: RowsSummary; readonly isRepeatable: boolean }> {
    const encoder = this.#newEncoder(keepText);
    const hashes: string[] = [];
    const totalBytes = sizeOfAll(this.#paths);
    let format: DataFormat | null = null;
    let rows = 0;
    let before = 0;
    for (const [number, file] of this.#paths.entries()) {
      const hash = createHash('sha256');
      const onNothing = (place: RecordPlace) => watch(positionOf({ rows, before, totalBytes, file }, place));
      for await (const batch of inBatches(
        readRecords(file, { hash, onNothing, ...this.#mapping, ...rewriteOf(this.#rewritings, file) }),
      )) {
        const at = positionOf({ rows, before, totalBytes, file }, batch[0]!, batch.at(-1)!);
        const tell = () => watch(at);
        await tell();
        for (const [i, record] of batch.entries()) {
          this.#index.add(rows + i, number, record);
          if ('value' in record) format ??= detectFormat(record.value);
        }
        const encode = (record: RecordOrProblem, i: number): Promise<readonly RowOrProblem[]> =>
          only === null || only.has(rows + i) ? encoder.encode(record, file, rows + i) : Promise.resolve([]);
        const encoded = await watched(Promise.all(batch.map(encode)), tell);
        encoded.forEach((examples, i) => onRow(examples, number, { line: batch[i]!.line, at: batch[i]!.at }));
        rows += batch.length;
      }
      before += sizeOf(file);
      hashes.push(hash.digest('hex'));
    }
    if (rows === 0) throw noRow(this.#paths);
    this.#total = this.#choice?.count ?? rows;
    const summary = {
      ...{ format: format ?? ('unknown' as const), formats: encoder.formats, hash: hashOfHashes(hashes), hashes },
      unused: encoder.unused,
      repeated: encoder.repeated,
    };
    return { summary, isRepeatable: encoder.isRepeatable };
  }

  /** Returns the examples of `limit` rows from row `offset` on. It reads no further than the last of them. */
  async page(offset: number, limit: number, watch: ReadingWatch = () => {}): Promise<readonly RowOrProblem[]> {
    const encoder = (this.#viewer ??= this.#newEncoder(true));
    const choice = await this.#chosen(watch);
    const totalBytes = sizeOfAll(this.#paths);
    // The index counts the rows of the files, whereas a page counts the chosen ones.
    const start = this.#index.nearest(choice === null ? offset : (choice.rowOf(offset) ?? choice.rowOf(choice.count - 1)!));
    const numberOf = (row: number): number => (choice === null ? row : (choice.numberOf(row) ?? -1));
    const examples: RowOrProblem[] = [];
    const lastRow = choice === null ? offset + limit - 1 : choice.rowOf(Math.min(offset + limit, choice.count) - 1)!;
    let { row } = start;
    let before = sizeOfAll(this.#paths.slice(0, start.file));
    for (const [number, file] of [...this.#paths.entries()].slice(start.file)) {
      const from = number === start.file ? start.place : null;
      const rewrite = rewriteOf(this.#rewritings, file, number === start.file ? start.rowOfFile : 0);
      const onNothing = (place: RecordPlace) => watch(positionOf({ rows: row, before, totalBytes, file }, place));
      for await (const batch of inBatches(readRecords(file, { from, onNothing, ...this.#mapping, ...rewrite }))) {
        const at = positionOf({ rows: row, before, totalBytes, file }, batch[0]!, batch.at(-1)!);
        const tell = () => watch(at);
        await tell();
        batch.forEach((record, i) => this.#index.add(row + i, number, record));
        const wanted = batch.map((record, i) => ({ record, index: numberOf(row + i) }));
        const inPage = wanted.filter(({ index }) => index >= offset && index < offset + limit);
        const encoded = await watched(
          Promise.all(inPage.map(({ record, index }) => encoder.encode(record, file, index))),
          tell,
        );
        examples.push(...encoded.flat());
        row += batch.length;
        if (row > lastRow) return examples;
      }
      before += sizeOf(file);
    }
    if (row === 0) throw noRow(this.#paths);
    this.#total = choice?.count ?? row;
    return examples;
  }
}

/**
 * Returns a function that passes on the chosen rows only, numbered among themselves. It must be called for rows in the order of
 * the files.
 */
function numbered(onRow: OnRow, choice: RowChoice | null): OnRow {
  if (choice === null) return onRow;
  let row = 0;
  let index = 0;
  return (examples) => {
    if (!choice.has(row++)) return;
    onRow(examples.map((example) => ({ ...example, index })));
    index++;
  };
}

/** Returns an example or a problem as it is kept: without what its place implies, and without marks that say nothing. */
function keptOf(one: RowOrProblem): object {
  if ('problem' in one) return { problem: one.problem };
  const { index: _, file: __, line: ___, messages: ____, text: _____, inputIds, labels, ...rest } = one;
  const marks: Marks = rest;
  const kept: Record<string, unknown> = { inputIds, labels };
  for (const [name, mark] of Object.entries(marks) as [keyof Marks, unknown][])
    if (mark !== unmarked[name] && !(Array.isArray(mark) && mark.length === 0)) kept[name] = mark;
  return kept;
}

function fromKept(kept: object, place: Pick<TokenRow, 'index' | 'file' | 'line'>): RowOrProblem {
  if ('problem' in kept) return { problem: kept.problem as ProblemValue, ...place };
  return { ...place, ...unmarked, messages: null, text: '', ...(kept as LabelledTokens & Partial<Marks>) };
}

/**
 * Reports progress repeatedly while work lasts, because a single row may have millions of characters and the reading may be
 * cancelled meanwhile.
 */
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

/** Yields batches of records that are encoded at the same time. */
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

/** Returns the hash of several files from the SHA-256 of each in hexadecimal. */
export function hashOfHashes(hashes: readonly string[]): string {
  return hashes.length === 1 ? hashes[0]! : createHash('sha256').update(hashes.join('\n')).digest('hex');
}

export function noRow(paths: readonly string[]): Problem {
  return new Problem('data-empty', `There is no row in ${paths.join(', ')}.`, `Give rows as ${dataFileNames}.`);
}

/** Holds a template with the variables that the settings give it for every row. */
interface OpenedTemplate {
  readonly template: ChatTemplate;
  readonly variables: TemplateVariables;
}

/** Returns counts by name, largest first. */
function mostRows(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].toSorted(([a, rows], [b, others]) => others - rows || (a < b ? -1 : 1));
}

interface EncoderOptions {
  readonly keepText: boolean;
  readonly day: Day | undefined;
  readonly mapping: ColumnMapping | undefined;
  readonly settings: RowSettings;
}

class RowEncoder {
  readonly #tokenizer: Tokenizer | null;
  readonly #vocabularySize: number;
  readonly #keepText: boolean;
  readonly #day: Day | undefined;
  readonly #settings: RowSettings;
  /** Says that the format was given by a person's mapping, where one was. */
  readonly #mapped: string | null;
  /** Counts the rows that have each unused column; `#formats` counts those of each format. */
  readonly #unused = new Map<string, number>();
  readonly #formats = new Map<string, number>();
  readonly #values = new ColumnValues();
  #ends: EndTokens | undefined;
  #special: SpelledTokens | undefined;
  /** Holds the template, or the problem that is reported for every row. It is opened once. */
  #template: OpenedTemplate | Problem | undefined;

  constructor(tokenizer: Tokenizer | null, vocabularySize: number, { keepText, day, settings, mapping }: EncoderOptions) {
    this.#tokenizer = tokenizer;
    this.#vocabularySize = vocabularySize;
    this.#keepText = keepText;
    this.#day = day;
    this.#settings = settings;
    this.#mapped = mapping === undefined ? null : mappingText(mapping);
  }

  get unused(): UnusedColumn[] {
    return mostRows(this.#unused).map(([name, rows]) => ({ name, rows }));
  }

  get formats(): FoundFormat[] {
    return mostRows(this.#formats).map(([reason, rows]) => ({ ...(JSON.parse(reason) as FormatReason), rows }));
  }

  get repeated(): RepeatedValue[] {
    return this.#values.repeated;
  }

  /**
   * Returns whether the same rows would be encoded the same way again. It is false where a chat template was stopped for the
   * time or memory it took.
   */
  get isRepeatable(): boolean {
    return this.#template === undefined || this.#template instanceof Problem || !this.#template.template.gaveUp;
  }

  /** Returns the examples of a row, or the one problem that makes the whole row unusable. */
  async encode(record: RecordOrProblem, file: string, index: number): Promise<RowOrProblem[]> {
    const { line, where = `line ${line}` } = record;
    if ('problem' in record) return [{ problem: record.problem, index, line, file }];
    try {
      const format = detectFormat(record.value);
      const reason = JSON.stringify(this.#reasonOf(record.value, format));
      this.#formats.set(reason, (this.#formats.get(reason) ?? 0) + 1);
      const unused = new Set<string>();
      const { row, dropped } =
        this.#settings.media === 'drop' && format !== 'tokens' ? withoutMedia(record.value) : { row: record.value, dropped: 0 };
      const content = format === 'tokens' ? null : contentOf(row, format, this.#tokenizer, unused, this.#settings.promptFormat);
      const examples = content === null ? [await this.#tokens(row, unused)] : await this.#content(content);
      for (const example of examples) this.#check(example);
      const said = content === null ? null : markText(content);
      this.#values.add(row, unused);
      for (const name of unused) this.#unused.set(name, (this.#unused.get(name) ?? 0) + 1);
      return examples.map((example, i) => ({
        ...{ index, file, line, ...unmarked, dropped, said: i === 0 ? said : null },
        ...example,
        ...(this.#keepText ? {} : { messages: null, text: '' }),
      }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { code, message, hint } = error;
      const problem = new Problem(code, `${file}, ${where}: ${message}`, hint, { line });
      // A tokenizer past its limits keeps working on the text and cannot be stopped, so the whole reading ends, not only this
      // row.
      if (code === 'out-of-memory' || code === 'tokenizer-unsupported') throw problem;
      return [{ problem: problem.toValue(), index, line, file }];
    }
  }

  #reasonOf(row: Fields, format: DataFormat | null): FormatReason {
    if (this.#mapped !== null) return { name: 'mapped rows', why: this.#mapped };
    const { name, why } = formatReason(row);
    const asked = format === 'prompt-completion' && isAsked(this.#settings.promptFormat, this.#tokenizer);
    return { name, why: asked ? `${why}, asked by the chat template of the model` : why };
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
        return [{ ...(await encodeDocument(content.text, tokenizer, this.#settings)), isDocument: true }];
    }
  }

  async #conversation(conversation: Conversation, tokenizer: Tokenizer): Promise<(Encoded & Partial<TokenRow>)[]> {
    this.#ends ??= new EndTokens(tokenizer);
    this.#special ??= new SpelledTokens(tokenizer);
    const { template, variables } = this.#openTemplate(tokenizer);
    const asked = { ...conversation, variables: { ...conversation.variables, ...variables } };
    const { examples, leftOut, passedOver } = renderConversation(template, asked, this.#ends, this.#settings);
    const spelled = this.#special.in(examples.flatMap(({ messages }) => messages).map(({ content }) => content));
    return Promise.all(
      examples.map(async (example) => {
        const { messages, text, turn, endless, asks } = example;
        const isApart = examples.length > 1 || passedOver > 0;
        return {
          ...(await encodeExample(example, tokenizer)),
          ...{ messages, text, endless, asks, leftOut, passedOver, spelled, turn: isApart ? turn : null },
        };
      }),
    );
  }

  #openTemplate(tokenizer: Tokenizer): OpenedTemplate {
    if (this.#template === undefined) {
      try {
        const template = openTemplate(tokenizer, { day: this.#day });
        const { thinking } = this.#settings;
        this.#template = { template, variables: thinking === 'row' ? {} : thinkingVariables(template, thinking) };
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
