import type { ColumnMapping, MappedText } from '../../engine/contract.ts';
import { columnsIn } from '../../engine/mapped-text.ts';

/** Returns what is wrong with a mapping as it is typed, in a sentence; null where nothing is. */
export function mappingFault({ question, answer, system }: ColumnMapping): string | null {
  const parts: readonly (readonly [name: string, text: MappedText | null])[] = [
    ['answer', answer],
    ['question', question],
    ['system prompt', question === null ? null : system],
  ];
  for (const [name, text] of parts) {
    if (text === null) continue;
    if (text === '') return `Choose the column of the ${name}.`;
    if (typeof text === 'string') continue;
    if ('constant' in text && text.constant === '') return `Type the text of the ${name}.`;
    if ('template' in text && columnsIn(text).length === 0) return `The template of the ${name} names no {column}.`;
  }
  const columns = parts.flatMap(([, text]) => (typeof text === 'string' ? [text] : []));
  const twice = columns.find((column, i) => columns.indexOf(column) !== i);
  return twice === undefined ? null : `The column ${twice} is used twice.`;
}
