const fewest = 4;
const most = 7;

/** Returns how many decimals the corner of a matrix needs, so that the largest change in it has two digits that are not 0. */
export function cornerDecimals(largestChange: number): number {
  if (largestChange === 0) return fewest;
  return Math.min(most, Math.max(fewest, 2 - Math.ceil(Math.log10(largestChange))));
}

/** Writes an element of a matrix with a true minus sign; what rounds to 0 has none. */
export function cellText(value: number, decimals: number): string {
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}
