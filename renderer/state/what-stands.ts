import type { ExportRecord } from '../../engine/contract.ts';

/**
 * Returns the exports without those that a later one replaced: of all attempts at one path, the last one written and those
 * after it. The records are given newest first.
 */
export function whatStands(records: readonly ExportRecord[]): readonly ExportRecord[] {
  const taken = new Set<string>();
  return records.filter(({ path, state }) => {
    const isReplaced = taken.has(path);
    if (state === 'done') taken.add(path);
    return !isReplaced;
  });
}
