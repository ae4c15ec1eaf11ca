/** Gives contestants their colours: an adapter has that of its run, everybody else is neutral. */
import type { AdapterVersion, Evaluation, Run } from '../../../engine/contract.ts';

export const neutral = 'var(--border-control)';

export function contestantColours(
  { contestants, request }: Pick<Evaluation, 'contestants' | 'request'>,
  adapters: readonly AdapterVersion[],
  runs: readonly Run[],
): Readonly<Record<string, string>> {
  const entries = contestants.map((name, i) => {
    const adapter = request.contestants[i]?.adapter;
    if (adapter === undefined) return [name, neutral] as const;
    const version = 'id' in adapter ? adapters.find(({ id }) => id === adapter.id) : undefined;
    const run = runs.find(({ id }) => id === version?.runId);
    // An adapter without a run is trained too, and has the colour of what is trained.
    return [name, run === undefined ? 'var(--accent)' : `var(--run-${run.colour})`] as const;
  });
  return Object.fromEntries(entries);
}
