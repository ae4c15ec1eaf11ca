import type { ExportRecord } from '../../engine/contract.ts';

/**
 * Returns the exports without those whose place a later one has taken: of all attempts at one path, what was written last and what
 * came after it. The records come newest first.
 */
export function whatStands(records: readonly ExportRecord[]): readonly ExportRecord[] {
  const taken = new Set<string>();
  return records.filter(({ path, state }) => {
    const isReplaced = taken.has(path);
    if (state === 'done') taken.add(path);
    return !isReplaced;
  });
}
