/** Checks in which languages rows are written, where that can be told of enough of them. */
import type { SetCheck } from './check.ts';
import { fewestForShare, FoundRows, percentOf } from './found-rows.ts';

const maxLanguagesNamed = 6;
/** Keeps a share on the line of its language. */
const nbsp = '\u00a0';
/** Rows in other languages than the most common one are listed where their share is larger than this. */
const leastShare = 0.005;

export const languageMix: SetCheck = {
  ...{ looksAt: 'set', name: 'languages', severity: 'note', fix: { kind: 'exclude' } },
  why: 'A model that is trained on several languages answers in any of them, and sometimes in another one than it was asked in.',
  ask: ({ facts: { languages, usable } }) => {
    const ranked = languages.ranked;
    if (languages.known < fewestForShare) return null;
    const named = ranked
      .slice(0, maxLanguagesNamed)
      .map(({ name, rows }) => `${name} ${percentOf(rows.count, languages.known)}`.replaceAll(' ', nbsp));
    const more = ranked.length - named.length;
    const title = `Languages: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
    const detail = `Guessed from the script and from common words; ${usable - languages.known} of ${usable} rows are too short or too unlike a text to tell.`;
    const rest = languages.known - ranked[0]!.rows.count;
    if (rest < Math.max(1, leastShare * languages.known)) return { severity: 'passed', title, detail };
    const found = new FoundRows();
    found.count = rest;
    const others = ranked.slice(1).flatMap(({ rows: { rows } }) => rows);
    found.rows.push(...others.toSorted((a, b) => a - b).slice(0, found.mostNamed));
    return { title, detail: `${detail} Listed are those that are not ${ranked[0]!.name}.`, found };
  },
};
