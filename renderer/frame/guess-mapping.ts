import type { DataColumns } from '../../engine/contract.ts';

const names = {
  answer: ['answer', 'response', 'reply', 'output', 'completion', 'target', 'label', 'assistant'],
  question: ['question', 'query', 'input', 'prompt', 'instruction', 'message', 'user', 'ticket', 'text'],
  system: ['system', 'system_prompt', 'context'],
} as const;

/**
 * Guesses by the names of fields which is the answer, the question and the system prompt, for a person to decide; null where no name
 * says so. A field with a number in it (`ticket_id`, `input_tokens`) is none of them.
 */
export function guessMapping(columns: DataColumns['columns']): Record<keyof typeof names, string | null> {
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
