/** Explains in words which format a row has and how it was recognized. */
import { detectFormat, nullColumnOf } from './content.ts';
import { type Fields, preferenceProblem, questionColumnsOf } from './columns.ts';
import { foreignShape } from './foreign-shapes.ts';
import { guessOfRow } from './guess-mapping.ts';

export interface FormatReason {
  /** Names the format. It is null where the format is not recognized or cannot be trained on. */
  readonly name: string | null;
  /** Says how the format was recognized, or what the row looks like. */
  readonly why: string;
}

/**
 * Returns the format of a row and how it was recognized: `ShareGPT`, `'conversations' holds lists of from and value`. Rows of
 * one format return equal reasons.
 */
export function formatReason(row: Fields): FormatReason {
  switch (detectFormat(row)) {
    case 'tokens':
      return { name: 'token ids', why: "there is a column 'input_ids'" };
    case 'messages':
      if (row['messages'] !== undefined && row['messages'] !== null)
        return { name: 'chat messages', why: lists(row, 'messages') };
      return { name: 'chat messages', why: "'prompt' or 'completion' holds a list of messages" };
    case 'sharegpt':
      return { name: 'ShareGPT', why: lists(row, 'conversations') };
    case 'alpaca':
      return { name: 'Alpaca', why: "there are columns 'instruction' and 'output'" };
    case 'prompt-completion':
      return { name: 'prompt and completion', why: "there are columns 'prompt' and 'completion'" };
    case 'question-answer': {
      const { question, answer } = questionColumnsOf(row)!;
      return { name: 'question and answer', why: `there are columns '${question}' and '${answer}'` };
    }
    case 'text':
      return { name: 'raw text', why: "there is a column 'text'" };
    case null:
      return { name: null, why: looksLike(row) };
  }
}

function looksLike(row: Fields): string {
  const foreign = foreignShape(row);
  if (foreign !== null) return `it is ${foreign.what}`;
  if (preferenceProblem(row) !== null) return 'rows are preference pairs, with answers to be compared';
  const without = nullColumnOf(row);
  if (without !== null) return `'${without}' is null`;
  if ('label' in row || 'labels' in row) return "rows have a 'label' and no answer to learn";
  const guess = guessOfRow(row);
  if (guess === null) return 'no column has a name that is known';
  return `'${guess.question}' may be the question and '${guess.answer}' the answer, which a mapping has to say`;
}

/** Describes what a column of messages holds, judged by the first message. */
function lists(row: Fields, column: string): string {
  const list = row[column];
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  if (typeof first !== 'object' || first === null) return `there is a column '${column}'`;
  const has = (name: string) => name in first;
  const [who, what] = [['from', 'role'].find(has), ['value', 'content'].find(has)];
  return `'${column}' holds lists of ${who ?? 'nobody'} and ${what ?? 'nothing'}`;
}
