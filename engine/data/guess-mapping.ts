/**
 * Guesses what fields with unknown names mean. A guess is only a suggestion: it is never applied until a person confirms it.
 */
import type { DataColumns } from '../contract.ts';
import { fieldText } from '../mapped-text.ts';

const names = {
  answer: ['answer', 'response', 'reply', 'output', 'completion', 'target', 'label', 'assistant'],
  question: ['question', 'query', 'input', 'prompt', 'instruction', 'message', 'user', 'ticket', 'text'],
  system: ['system', 'system_prompt', 'context'],
} as const;

/**
 * Guesses from the names of fields which one is the answer, the question and the system prompt. Returns null where no name
 * tells. Fields whose example is a number, such as `ticket_id` or `input_tokens`, are never chosen.
 */
export function guessMapping(columns: DataColumns['columns']): DataColumns['guess'] {
  const texts = columns.filter(({ example }) => !/^\s*[-+\d.,]+\s*$/.test(example)).map(({ name }) => name);
  const find = (wanted: readonly string[]): string | null => {
    for (const word of wanted) {
      const found = texts.find((column) => column.toLowerCase() === word) ?? null;
      if (found !== null) return found;
    }
    return texts.find((column) => wanted.some((word) => column.toLowerCase().includes(word))) ?? null;
  };
  const answer = find(names.answer);
  const rest = (one: string | null): string | null => (one === answer ? null : one);
  return { answer, question: rest(find(names.question)), system: rest(find(names.system)) };
}

/**
 * Returns the guess for one row, or null where its names do not show a question and an answer. Columns that are null are not chosen.
 * Where a column holds its text in a field of its own, that is named, such as `answers.text[0]`.
 */
export function guessOfRow(
  row: Readonly<Record<string, unknown>>,
): { readonly question: string; readonly answer: string } | null {
  const given = Object.entries(row).filter(([, value]) => value !== null && value !== undefined);
  const { question, answer } = guessMapping(given.map(([name, value]) => ({ name, example: fieldText(value) })));
  if (question === null || answer === null) return null;
  return { question: textIn(question, row[question]), answer: textIn(answer, row[answer]) };
}

/** Returns the path of the text in a column such as the `answers` of SQuAD, or the column itself. */
function textIn(name: string, value: unknown): string {
  if (typeof value !== 'object' || value === null || !('text' in value)) return name;
  return Array.isArray(value.text) ? `${name}.text[0]` : `${name}.text`;
}
