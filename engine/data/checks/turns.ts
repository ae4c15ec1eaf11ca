/** Checks the order of speakers. A chat template may refuse such rows; these checks are for one that does not. */
import type { ChatMessage } from '../../contract.ts';
import type { TextCheck } from './check.ts';

const isSystem = ({ role }: ChatMessage): boolean => role !== 'user' && role !== 'assistant' && role !== 'tool';

export const emptyTurns: TextCheck = {
  ...{ looksAt: 'text', name: 'empty-turn', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'An answer to nothing teaches the model to answer whatever it likes.',
  find: ({ messages }) => {
    // An answer may have calls or a thought instead.
    const empty = (messages ?? []).filter(
      (message) =>
        message.content.trim() === '' && Object.keys(message).length === 2 && message.role !== 'tool' && !isSystem(message),
    );
    return [...new Set(empty.map(({ role }) => `turns of the ${role}`))];
  },
  title: (counted) => `${counted} with an empty turn`,
  advice: 'Write what is missing, or leave the rows out.',
};

export const roleOrder: TextCheck = {
  ...{ looksAt: 'text', name: 'role-order', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'The model was made with a question and an answer in turn, and is asked in that way later.',
  find: ({ messages }) => {
    if (messages === null) return [];
    const found = new Set<string>();
    const spoken = messages.filter((message) => !isSystem(message));
    if (messages.some((message, i) => isSystem(message) && !messages.slice(0, i).every(isSystem)))
      found.add('a system turn after the first');
    if (spoken[0]?.role === 'assistant') found.add('an answer that comes first');
    for (let i = 1; i < spoken.length; i++) {
      if (spoken[i]!.role !== spoken[i - 1]!.role) continue;
      if (spoken[i]!.role === 'user') found.add('two questions in a row');
      else if (spoken[i]!.role === 'assistant') found.add('two answers in a row');
    }
    if (spoken.at(-1)?.role === 'user') found.add('a question without an answer at the end');
    return [...found];
  },
  title: (counted) => `${counted} in which turns do not alternate`,
  advice: 'Join turns of the same side, or leave the rows out.',
};
