/** Writes ascending numbers as people do: `0–3, 7, 20–29`; `none` where there are none. */
export function ranges(numbers: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run !== undefined && number === run[1] + 1) run[1] = number;
    else runs.push([number, number]);
  }
  return runs.length === 0
    ? 'none'
    : runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(', ');
}
