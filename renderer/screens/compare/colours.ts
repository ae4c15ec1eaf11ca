/** Keeps the colour of a run, also beside another run that has the same one. */
import type { Run } from '../../../engine/contract.ts';

export const colourOf = (run: Run): string => `--colour: var(--run-${run.colour})`;

/** Says whether an earlier run of the comparison has the same colour, so that this one is dashed. */
export function repeatsColour(run: Run, runs: readonly Run[]): boolean {
  return runs.slice(0, runs.indexOf(run)).some((other) => other.colour === run.colour);
}
