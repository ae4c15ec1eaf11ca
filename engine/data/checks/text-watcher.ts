/** Counts the rows in whose text a check finds something. */
import type { RowWatcher, TextCheck } from './check.ts';
import { countedRows, FoundRows } from './found-rows.ts';

const maxNames = 256;
const maxNamesTold = 8;

export function watchText({ name, title, advice }: TextCheck): RowWatcher {
  const found = new FoundRows();
  const names = new Map<string, number>();
  let first = 0;
  return {
    add([example]) {
      const { index, line, said } = example!;
      const here = said?.found?.[name];
      if (here === undefined) return;
      if (found.count === 0) first = line;
      found.add(index);
      for (const one of here) if (names.has(one) || names.size < maxNames) names.set(one, (names.get(one) ?? 0) + 1);
    },
    finding() {
      if (found.count === 0) return null;
      const ranked = [...names].sort((a, b) => b[1] - a[1]);
      const told = ranked.slice(0, maxNamesTold).map(([one, rows]) => `${one} (${countedRows(rows)})`);
      const more = ranked.length > told.length ? ' and more' : '';
      return {
        found,
        title: title(found.counted),
        detail: `Found: ${told.join(', ')}${more}, the first in line ${first}. ${advice}`,
      };
    },
  };
}
