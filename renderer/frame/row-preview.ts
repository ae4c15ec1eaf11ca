/** Shows what a row says before any model reads it, with or without a mapping. */
import type { ColumnMapping } from '../../engine/contract.ts';
import { fieldText, mappedRow } from '../../engine/mapped-text.ts';

export interface PreviewPart {
  readonly role: string;
  readonly text: string;
  /** Says whether the model learns to write this. */
  readonly isTrained: boolean;
}
type Row = Readonly<Record<string, unknown>>;

const roles: Readonly<Record<string, string>> = { human: 'user', gpt: 'assistant', model: 'assistant', bot: 'assistant' };
/** Lists the known columns in the order of a conversation, each with its role. */
const known: readonly (readonly [column: string, role: string])[] = [
  ['system', 'system'],
  ['instruction', 'user'],
  ['input', 'user'],
  ['prompt', 'user'],
  ['question', 'user'],
  ['query', 'user'],
  ['problem', 'user'],
  ['user', 'user'],
  ...['output', 'completion', 'answer', 'response', 'solution', 'assistant'].map((name) => [name, 'assistant'] as const),
];

/** Returns what a row says, part by part. A row of an unknown format is shown column by column. */
export function previewOf(row: Row, mapping: ColumnMapping | null): readonly PreviewPart[] {
  const said = mapping === null ? row : mappedRow(row, mapping);
  const messages = said['messages'] ?? said['conversations'];
  if (Array.isArray(messages)) return messages.map(ofMessage);
  if (typeof said['text'] === 'string') return [{ role: 'text', text: said['text'], isTrained: true }];
  const parts = known.flatMap(([column, role]): PreviewPart[] => {
    const value = Object.entries(said).find(([name]) => name.toLowerCase() === column)?.[1];
    if (value === undefined || value === null || (value === '' && column === 'input')) return [];
    if (Array.isArray(value)) return value.map(ofMessage);
    return [{ role, text: fieldText(value), isTrained: role === 'assistant' }];
  });
  if (parts.some(({ isTrained }) => isTrained)) return parts;
  return Object.entries(said).map(([role, value]) => ({ role, text: fieldText(value), isTrained: false }));
}

function ofMessage(message: unknown): PreviewPart {
  if (typeof message !== 'object' || message === null) return { role: '?', text: fieldText(message), isTrained: false };
  const fields = message as Row;
  const named = fieldText(fields['role'] ?? fields['from']);
  const role = roles[named] ?? named;
  const thought = fieldText(fields['reasoning_content'] ?? fields['thinking'] ?? fields['reasoning']);
  const calls = fields['tool_calls'];
  const texts = [thought, fieldText(fields['content'] ?? fields['value']), calls == null ? '' : fieldText(calls)];
  return { role, text: texts.filter((text) => text !== '').join('\n'), isTrained: role === 'assistant' };
}
