/** Maps the fields of rows whose format is unknown to a known format, as a person has specified. */
import { type ColumnMapping, columnsIn, fieldAt, fieldText, type MappedText, mappedRow } from '../mapped-text.ts';
import { Problem, type ProblemCode, shown } from '../problem.ts';
import { nearestWord } from '../nearest-word.ts';
import type { RecordOrProblem } from './readers/reader.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A mapped column that none of the first rows has counts as missing from the file. This is how many rows are examined. */
const rowsLookedAt = 50;
const mostNamed = 40;

/** Reads the records of one file as their mapping specifies. */
export class MappedRecords {
  readonly #path: string;
  readonly #mapping: ColumnMapping;
  /** Holds the columns of the mapping that no row has had so far, and the columns that rows have had. */
  readonly #missing: Set<string>;
  readonly #known = new Set<string>();
  /** Holds the texts for all rows that look like templates, each with the columns it would name. */
  readonly #literal: readonly { readonly part: string; readonly text: string; readonly columns: readonly string[] }[];
  #rows = 0;

  /** `fromStart` says whether rows are read from the first one on, so that a column that none of them has can be reported. */
  constructor(path: string, mapping: ColumnMapping, fromStart: boolean) {
    this.#path = path;
    this.#mapping = mapping;
    const { question, answer, system } = mapping;
    this.#literal = Object.entries({ question, answer, system }).flatMap(([part, text]) => {
      if (text === null || typeof text === 'string' || 'template' in text) return [];
      const columns = columnsIn({ template: text.constant });
      return columns.length === 0 ? [] : [{ part: question === null ? 'text' : part, text: text.constant, columns }];
    });
    this.#missing = new Set(fromStart ? [question, answer, system].flatMap(columnsIn) : []);
  }

  /** Returns a record in the fields of a known format. Throws a `Problem` where no row has a column that the mapping names. */
  map(record: RecordOrProblem): RecordOrProblem {
    if (!('value' in record)) return record;
    if (this.#missing.size > 0) {
      for (const name of this.#missing) if (fieldAt(record.value, name) !== undefined) this.#missing.delete(name);
      for (const name of Object.keys(record.value)) if (this.#known.size < mostNamed) this.#known.add(name);
      if (++this.#rows === rowsLookedAt) this.end();
    }
    this.#refuseLiteral(record.value);
    const { value, ...place } = record;
    const refused = (code: ProblemCode, what: string, hint: string): RecordOrProblem => {
      const message = shown(`${this.#path}, ${place.where ?? `line ${place.line}`}: ${what}.`);
      return { ...place, problem: { code, message, hint, line: place.line } };
    };
    const lacking = lackingColumn(value, this.#mapping);
    if (lacking !== null) {
      const names = Object.keys(value);
      const what = `the row has no '${lacking}', which the mapping names, only ${listed(names)}`;
      return refused('format-unknown', what, hintFor(lacking, names));
    }
    const { question, answer, system } = this.#mapping;
    const noNumber = [question, answer, system].flatMap(columnsIn).find((name) => hasNoNumber(fieldAt(value, name)));
    if (noNumber !== undefined)
      return refused('data-invalid', `the row has '${noNumber}' with NaN or Infinity`, 'Write a text or a number there.');
    const mapped = mappedRow(value, this.#mapping);
    if (fieldText(mapped['output'] ?? mapped['text']).trim() === '') {
      const columns = columnsIn(answer);
      return refused(
        'data-empty',
        `${columns.length === 0 ? 'the answer' : listed(columns)} ${columns.length > 1 ? 'are' : 'is'} empty`,
        'Write its text, or remove the row.',
      );
    }
    return { ...record, value: mapped };
  }

  /** Throws a `Problem` where a text for all rows names a column of a row: it was meant to be a template. */
  #refuseLiteral(row: Fields): void {
    for (const { part, text, columns } of this.#literal) {
      const name = columns.find((column) => fieldAt(row, column) !== undefined);
      if (name === undefined) continue;
      throw new Problem(
        'request-invalid',
        `The text for '${part}' has '{${shown(name, 80)}}' in it, which is a column, and would be the same in every row: ${shown(text, 160)}.`,
        `Write a template without quotes: ${part}=${shown(text, 160)}. In a template, {{ and }} stand for braces.`,
      );
    }
  }

  /** Throws a `Problem` where none of the rows had a column that the mapping names. */
  end(): void {
    const [name] = this.#missing;
    if (name === undefined || this.#rows === 0) return;
    const names = [...this.#known];
    throw new Problem(
      'data-invalid',
      `'${this.#path}' has no column '${name}', which the mapping names; its columns are ${listed(names)}.`,
      hintFor(name, names),
    );
  }
}

/** Returns whether a value contains a number that JSON cannot express and would write as null. */
function hasNoNumber(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).some(hasNoNumber);
  return typeof value === 'number' && !Number.isFinite(value);
}

function listed(names: readonly string[]): string {
  return names.map((name) => `'${shown(name, 80)}'`).join(', ') || 'none';
}

function hintFor(name: string, names: readonly string[]): string {
  const near = nearestWord(name, names);
  return near === null
    ? "Name a column that the rows have, or put a text for all rows in quotes, as in system='Be kind.'."
    : `Did you mean '${shown(near, 80)}'?`;
}

/** Returns a required column that a row lacks, or null. A system prompt is optional, and so are single columns of a template. */
function lackingColumn(row: Fields, { question, answer }: ColumnMapping): string | null {
  for (const text of [question, answer]) {
    const columns = columnsIn(text);
    if (columns.length > 0 && columns.every((name) => fieldAt(row, name) === undefined)) return columns[0]!;
  }
  return null;
}

/** Returns a mapping in the notation that `readMapping` reads: `question=instruction,answer=output`. */
export function mappingText({ question, answer, system }: ColumnMapping): string {
  const text = (part: MappedText): string => {
    if (typeof part === 'string') return part;
    return 'template' in part ? part.template : `'${part.constant}'`;
  };
  return [
    question === null ? `text=${text(answer)}` : `question=${text(question)},answer=${text(answer)}`,
    ...(system === null ? [] : [`system=${text(system)}`]),
  ].join(',');
}

const parts = ['question', 'answer', 'system', 'text'] as const;
const nextPart = new RegExp(`,\\s*(?=(?:${parts.join('|')})\\s*=)`);
const mappingHint =
  "Write it as question=COLUMN,answer=COLUMN,system=COLUMN or text=COLUMN; what is within a column is column.field or column[0], a template is {column} and {other}, and a text for all rows stands in quotes, as in system='Be kind.'.";

/**
 * Reads a mapping such as `question=instruction,answer={output} {note},system='You are kind.'`. `text=` maps plain text without
 * a question. Throws a `Problem` where the notation is wrong.
 */
export function readMapping(written: string): ColumnMapping {
  const given = new Map<string, MappedText>();
  for (const part of written.split(nextPart)) {
    const equals = part.indexOf('=');
    const name = part.slice(0, equals).trim();
    const value = part.slice(equals + 1).trim();
    if (equals < 1 || !(parts as readonly string[]).includes(name) || value === '')
      throw new Problem(
        'request-invalid',
        `--map has '${shown(part, 80)}', which says of nothing known where it comes from.`,
        mappingHint,
      );
    if (given.has(name)) throw new Problem('request-invalid', `--map gives '${name}' more than once.`, mappingHint);
    given.set(name, mappedText(value));
  }
  const [question, answer, system, text] = parts.map((name) => given.get(name) ?? null);
  if (text != null && (question != null || answer != null || system != null))
    throw new Problem('request-invalid', `--map has 'text' and parts of a conversation.`, mappingHint);
  if (text != null) return { question: null, answer: text, system: null };
  if (question == null || answer == null)
    throw new Problem('request-invalid', `--map says no '${question == null ? 'question' : 'answer'}'.`, mappingHint);
  return { question, answer, system: system ?? null };
}

function mappedText(value: string): MappedText {
  const quoted = /^(['"])(.*)\1$/s.exec(value)?.[2];
  if (quoted !== undefined) return { constant: quoted };
  return /\{[^{}]+\}/.test(value) ? { template: value } : value;
}
