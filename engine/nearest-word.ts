/** Finds the word that a misspelled one was most likely meant to be. */

/**
 * Returns the candidate that `word` most likely misspells, allowing one wrong letter in four, or null where none is that close.
 */
export function nearestWord(word: string, candidates: readonly string[]): string | null {
  const plain = (text: string): string => text.toLowerCase().replace(/[_-]/g, '');
  let best: { candidate: string; distance: number } | null = null;
  for (const candidate of candidates) {
    const [a, b] = [plain(word), plain(candidate)];
    const most = Math.min(a.length, b.length) / 4;
    // A word from a file may be of any length.
    if (Math.abs(a.length - b.length) > most) continue;
    const distance = editDistance(a, b);
    if (distance > most || distance >= (best?.distance ?? Infinity)) continue;
    best = { candidate, distance };
  }
  return best?.candidate ?? null;
}

/** Returns how many letters must be added, left out, changed or swapped with their neighbour to turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const [row, next] = [rows[i - 1]!, [i]];
    for (let j = 1; j <= b.length; j++) {
      const least = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      next.push(isSwapped ? Math.min(least, rows[i - 2]![j - 2]! + 1) : least);
    }
    rows.push(next);
  }
  return rows[a.length]![b.length]!;
}
