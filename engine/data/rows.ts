/** Rows of a data set as token ids and labels: what every format means, and what is wrong with a row that cannot be used. */
import { createHash } from 'node:crypto';
import type { ChatMessage, DataFormat } from '../contract.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import { defaultRecipe, type RowSettings } from '../recipe.ts';
import { type Content, contentOf, detectFormat } from './content.ts';
import { encodeCompletion, encodeDocument } from './plain-text.ts';
import { labelsOf, renderConversation } from './mask.ts';
import { readRecords, type RecordOrProblem } from './records.ts';
import { type ChatTemplate, openTemplate } from './template.ts';
import { tokensOf } from './token-rows.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface TokenRow {
  readonly index: number;
  readonly file: string;
  /** 1-based; for a JSON list the line on which the row begins. */
  readonly line: number;
  readonly inputIds: Int32Array;
  /** -100 is ignored; `labels[t]` belongs to `inputIds[t]`. */
  readonly labels: Int32Array;
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
}
export type RowOrProblem =
  TokenRow | { readonly problem: ProblemValue; readonly index: number; readonly line: number; readonly file: string };

export interface DataRows {
  readonly rows: RowOrProblem[];
  readonly format: DataFormat;
  /** SHA-256 of the file; of the files' hashes in hexadecimal when there are several. */
  readonly hash: string;
  /** Columns with a value that nothing was read from, those of most rows first: `id`, `messages[].name`. */
  readonly unused: readonly UnusedColumn[];
}

export interface UnusedColumn {
  readonly name: string;
  readonly rows: number;
}

/** A row as ids and labels. */
export interface Encoded {
  readonly inputIds: Int32Array;
  readonly labels: Int32Array;
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
}

const ignored = -100;
/** Rows encoded at the same time; the tokenizer takes some hundred bytes of memory for each of text. */
const maxBatchRows = 32;
const maxBatchBytes = 1 << 20;

/**
 * Reads all rows. Rows that need a tokenizer or a template that is not there become problems, one per row. `keepText: false` leaves out
 * text and messages, which take as much memory again as the tokens and which training never looks at. Settings left out are those of
 * the default recipe.
 */
export async function readRows(
  paths: readonly string[],
  tokenizer: Tokenizer | null,
  vocabularySize: number,
  { keepText = true, ...settings }: { readonly keepText?: boolean } & Partial<RowSettings> = {},
): Promise<DataRows> {
  const rows: RowOrProblem[] = [];
  const hashes: string[] = [];
  let format: DataFormat | null = null;
  const encoder = new RowEncoder(tokenizer, vocabularySize, keepText, { ...defaultRecipe(), ...settings });
  for (const file of paths) {
    const hash = createHash('sha256');
    let batch: RecordOrProblem[] = [];
    let batchBytes = 0;
    const flush = async () => {
      const first = rows.length;
      rows.push(...(await Promise.all(batch.map((record, i) => encoder.encode(record, file, first + i)))));
      batch = [];
      batchBytes = 0;
    };
    for await (const record of readRecords(file, hash)) {
      if ('value' in record) format ??= detectFormat(record.value);
      batch.push(record);
      batchBytes += record.bytes;
      if (batch.length === maxBatchRows || batchBytes > maxBatchBytes) await flush();
    }
    await flush();
    hashes.push(hash.digest('hex'));
  }
  if (rows.length === 0)
    throw new Problem('data-empty', `There is no row in ${paths.join(', ')}.`, 'Give a file with one JSON object a line.');
  const hash = hashes.length === 1 ? hashes[0]! : createHash('sha256').update(hashes.join('\n')).digest('hex');
  return { rows, format: format ?? 'messages', hash, unused: encoder.unused };
}

class RowEncoder {
  readonly #tokenizer: Tokenizer | null;
  readonly #vocabularySize: number;
  readonly #keepText: boolean;
  readonly #settings: RowSettings;
  /** Rows that have each column that is not used. */
  readonly #unused = new Map<string, number>();
  /** Or why there is none: told for every row, found out once. */
  #template: ChatTemplate | Problem | undefined;

  constructor(tokenizer: Tokenizer | null, vocabularySize: number, keepText: boolean, settings: RowSettings) {
    this.#tokenizer = tokenizer;
    this.#vocabularySize = vocabularySize;
    this.#keepText = keepText;
    this.#settings = settings;
  }

  get unused(): UnusedColumn[] {
    return [...this.#unused]
      .map(([name, rows]) => ({ name, rows }))
      .toSorted((a, b) => b.rows - a.rows || (a.name < b.name ? -1 : 1));
  }

  async encode(record: RecordOrProblem, file: string, index: number): Promise<RowOrProblem> {
    const { line } = record;
    if ('problem' in record) return { problem: record.problem, index, line, file };
    try {
      const format = detectFormat(record.value);
      const unused = new Set<string>();
      const row =
        format === 'tokens'
          ? await this.#tokens(record.value, unused)
          : await this.#content(contentOf(record.value, format, this.#tokenizer, unused));
      this.#check(row);
      for (const name of unused) this.#unused.set(name, (this.#unused.get(name) ?? 0) + 1);
      return { index, file, line, ...row, ...(this.#keepText ? {} : { messages: null, text: '' }) };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { code, message, hint } = error;
      return { problem: { code, message: `${file}, line ${line}: ${message}`, hint, line }, index, line, file };
    }
  }

  async #tokens(value: Readonly<Record<string, unknown>>, unused: Set<string>): Promise<Encoded> {
    const { inputIds, labels } = tokensOf(value, unused);
    this.#checkRange(inputIds, 'input_ids', false);
    this.#checkRange(labels, 'labels', true);
    const text = this.#keepText ? await this.#tokenizer?.decode([...inputIds]) : undefined;
    return { inputIds, labels, messages: null, text: text ?? '' };
  }

  async #content(content: Content): Promise<Encoded> {
    const tokenizer = this.#tokenizer;
    if (tokenizer === null)
      throw new Problem(
        'tokenizer-missing',
        'The row is text, and the model has no tokenizer.',
        'Use rows with "input_ids", or a model with its tokenizer.json; transformers makes one of a tokenizer.model.',
      );
    switch (content.kind) {
      case 'messages': {
        const rendered = renderConversation(this.#openTemplate(tokenizer), content);
        const encoded = await tokenizer.encodeWithOffsets(rendered.text);
        const labels = labelsOf(rendered, encoded, tokenizer);
        return { inputIds: Int32Array.from(encoded.ids), labels, messages: content.messages, text: rendered.text };
      }
      case 'completion':
        return encodeCompletion(content, tokenizer);
      case 'text':
        return encodeDocument(content.text, tokenizer, this.#settings);
    }
  }

  #openTemplate(tokenizer: Tokenizer): ChatTemplate {
    if (this.#template === undefined) {
      try {
        this.#template = openTemplate(tokenizer);
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
