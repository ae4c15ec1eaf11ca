/** How a run keeps its colour, also beside another run that was given the same one. */
import type { Run } from '../../../engine/contract.ts';

export const colourOf = (run: Run): string => `--colour: var(--run-${run.colour})`;

/** Another run of the comparison has the colour already: this one is dashed. */
export function repeatsColour(run: Run, runs: readonly Run[]): boolean {
  return runs.slice(0, runs.indexOf(run)).some((other) => other.colour === run.colour);
}
