/** Rows of a data set as token ids and labels: what every format means, and what is wrong with a row that cannot be used. */
import { createHash } from 'node:crypto';
import type { ChatMessage, DataFormat } from '../contract.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import { defaultRecipe, type RowSettings } from '../recipe.ts';
import { type Content, contentOf, type Conversation, detectFormat } from './content.ts';
import type { Day } from './day.ts';
import { encodeCompletion, encodeDocument } from './plain-text.ts';
import { EndTokens } from './end-tokens.ts';
import { encodeExample, renderConversation } from './mask.ts';
import { readRecords, type RecordOrProblem } from './records.ts';
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

export interface DataRows {
  /** In the order of the data; the examples of one row follow one another. */
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
  /** -100 is ignored; `labels[t]` belongs to `inputIds[t]`. */
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
 * text and messages, which take as much memory again as the tokens and which training never looks at. `day` is what a chat template
 * prints. Settings left out are those of the default recipe.
 */
export async function readRows(
  paths: readonly string[],
  tokenizer: Tokenizer | null,
  vocabularySize: number,
  {
    keepText = true,
    day,
    ...settings
  }: { readonly keepText?: boolean; readonly day?: Day | undefined } & Partial<RowSettings> = {},
): Promise<DataRows> {
  const rows: RowOrProblem[] = [];
  const hashes: string[] = [];
  let format: DataFormat | null = null;
  let read = 0;
  const encoder = new RowEncoder(tokenizer, vocabularySize, { keepText, day, settings: { ...defaultRecipe(), ...settings } });
  for (const file of paths) {
    const hash = createHash('sha256');
    let batch: RecordOrProblem[] = [];
    let batchBytes = 0;
    const flush = async () => {
      rows.push(...(await Promise.all(batch.map((record, i) => encoder.encode(record, file, read + i)))).flat());
      read += batch.length;
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
