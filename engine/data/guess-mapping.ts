/** What fields of unknown names may mean, for a person to decide: it is never taken without a word. */
import type { DataColumns } from '../contract.ts';
import { fieldText } from './mapping.ts';

const names = {
  answer: ['answer', 'response', 'reply', 'output', 'completion', 'target', 'label', 'assistant'],
  question: ['question', 'query', 'input', 'prompt', 'instruction', 'message', 'user', 'ticket', 'text'],
  system: ['system', 'system_prompt', 'context'],
} as const;

/**
 * Guesses by the names of fields which is the answer, the question and the system prompt, for a person to decide; null where no name
 * says so. A field with a number in it (`ticket_id`, `input_tokens`) is none of them.
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

/** Returns the guess for one row; null where its names do not say what is asked and what is answered. */
export function guessOfRow(
  row: Readonly<Record<string, unknown>>,
): { readonly question: string; readonly answer: string } | null {
  const columns = Object.entries(row).map(([name, value]) => ({ name, example: fieldText(value) }));
  const { question, answer } = guessMapping(columns);
  return question === null || answer === null ? null : { question, answer };
}
