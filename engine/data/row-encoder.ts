/**
 * Turns a record into the examples that are trained on: what every format of rows means, and what is wrong with a row that cannot
 * be used.
 */
import type { ColumnMapping, DataFormat } from '../contract.ts';
import { ignored } from '../labels.ts';
import { Problem } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import { markText } from './checks/text-marks.ts';
import type { Fields } from './columns.ts';
import { type Content, contentOf, type Conversation, detectFormat, isAsked } from './content.ts';
import type { Day } from './day.ts';
import type { Encoded } from './encoded.ts';
import { EndTokens } from './end-tokens.ts';
import { type FormatReason, formatReason } from './format-reason.ts';
import { mappingText } from './mapping.ts';
import { encodeExample } from './encode-example.ts';
import { renderConversation } from './mask.ts';
import { withoutMedia } from './media.ts';
import { encodeCompletion, encodeDocument } from './plain-text.ts';
import type { RecordOrProblem } from './readers/reader.ts';
import { RowCounts } from './row-counts.ts';
import { type RowOrProblem, type TokenRow, unmarked } from './row.ts';
import { SpecialTokensInText } from './special-tokens-in-text.ts';
import { thinkingVariables } from './template-inputs.ts';
import { type ChatTemplate, openTemplate, type TemplateVariables } from './template.ts';
import { tokensOf } from './token-rows.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Holds a template with the variables that the settings give it for every row. */
interface OpenedTemplate {
  readonly template: ChatTemplate;
  readonly variables: TemplateVariables;
}

export interface EncoderOptions {
  readonly keepText: boolean;
  readonly day: Day | undefined;
  readonly mapping: ColumnMapping | undefined;
  readonly settings: RowSettings;
}

/** Encodes the rows of one data set for one model, in any order, and counts what they are. */
export class RowEncoder {
  readonly #tokenizer: Tokenizer | null;
  readonly #vocabularySize: number;
  readonly #keepText: boolean;
  readonly #day: Day | undefined;
  readonly #settings: RowSettings;
  /** Says that the format was given by a person's mapping, where one was. */
  readonly #mapped: string | null;
  /** Counts what the encoded rows are. */
  readonly counts = new RowCounts();
  #ends: EndTokens | undefined;
  #special: SpecialTokensInText | undefined;
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
    const place = { index, file, line, mixPart: 0, copy: 0 };
    if ('problem' in record) return [{ problem: record.problem, ...place }];
    try {
      const format = detectFormat(record.value);
      this.counts.addFormat(this.#reasonOf(record.value, format));
      const unused = new Set<string>();
      const { row, dropped } =
        this.#settings.media === 'drop' && format !== 'tokens' ? withoutMedia(record.value) : { row: record.value, dropped: 0 };
      const content = format === 'tokens' ? null : contentOf(row, format, this.#tokenizer, unused, this.#settings.promptFormat);
      const examples = content === null ? [await this.#tokens(row, unused)] : await this.#content(content);
      for (const example of examples) await this.#check(example, format === 'tokens');
      const said = content === null ? null : markText(content);
      this.counts.addColumns(row, unused);
      return examples.map((example, i) => ({
        ...{ ...place, ...unmarked, dropped, said: i === 0 ? said : null },
        ...example,
        ...(this.#keepText ? {} : { messages: null, text: '' }),
      }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const { code, message, hint } = error;
      // A template that cannot be read is no fault of any row.
      if (code === 'template-unsupported') throw error;
      const problem = new Problem(code, `${file}, ${where}: ${message}`, hint, { line });
      // A tokenizer past its limits keeps working on the text and cannot be stopped, so the whole reading ends, not only this
      // row.
      if (code === 'out-of-memory' || code === 'tokenizer-unsupported') throw problem;
      return [{ problem: problem.toValue(), ...place }];
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
    const { template, variables } = this.#openTemplate(tokenizer);
    this.#ends ??= new EndTokens(tokenizer);
    this.#special ??= new SpecialTokensInText(tokenizer);
    const asked = { ...conversation, variables: { ...conversation.variables, ...variables } };
    const tools = this.#keepText && conversation.tools !== undefined ? { tools: conversation.tools } : {};
    const { examples, leftOut, skippedTurns } = renderConversation(template, asked, this.#ends, this.#settings);
    const specialTokensInText = this.#special.in(examples.flatMap(({ messages }) => messages).map(({ content }) => content));
    return Promise.all(
      examples.map(async (example) => {
        const { messages, text, turn, withoutStopToken, asks } = example;
        const isApart = examples.length > 1 || skippedTurns > 0;
        return {
          ...(await encodeExample(example, tokenizer)),
          ...{
            messages,
            text,
            withoutStopToken,
            asks,
            leftOut,
            skippedTurns,
            specialTokensInText,
            turn: isApart ? turn : null,
          },
          ...tools,
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

  async #check({ inputIds, labels }: Encoded, areGiven: boolean): Promise<void> {
    if (inputIds.length === 0) throw new Problem('data-empty', 'the row has no tokens.', 'Remove the row.');
    if (!(labels.findIndex((label, t) => t > 0 && label !== ignored) > 0))
      throw new Problem(
        'nothing-to-train',
        'no token of the row is trained.',
        'A conversation needs an assistant turn; a label must stand after the first token.',
      );
    if (!areGiven) await this.#checkTokens(inputIds);
  }

  /** Throws a `Problem` where the tokenizer has given a text a token that the model lacks. */
  async #checkTokens(inputIds: Int32Array): Promise<void> {
    const id = inputIds.find((each) => each >= this.#vocabularySize);
    if (id === undefined) return;
    const named = this.#tokenizer!.addedTokens.get(id) ?? (await this.#tokenizer!.decode([id]));
    throw new Problem(
      'token-out-of-range',
      `the model's tokenizer writes ${JSON.stringify(named)} as the token ${id}, which the model lacks: it has ${this.#vocabularySize} tokens, 0 to ${this.#vocabularySize - 1}.`,
      'The tokenizer and the weights are not of the same model, or tokens were added to the tokenizer alone. Use the tokenizer of the model.',
    );
  }
}
