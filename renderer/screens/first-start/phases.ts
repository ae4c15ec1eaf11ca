import type { SampleProjectState } from '../../../engine/contract.ts';

/** Lists everything the sample does, in order. */
export const phases = [
  { phase: 'preparing', text: 'Makes a project with the built-in model and data' },
  { phase: 'before', text: 'Asks held-out questions before the training' },
  { phase: 'training', text: 'Trains a small adapter' },
  { phase: 'after', text: 'Asks the same questions after it' },
  { phase: 'done', text: 'Ends at Export, with the proof' },
] as const;

/** Returns the index of the present phase in the list, or -1 before the first. A stopped sample stays at the phase it reached. */
export function placeOf(sample: Pick<SampleProjectState, 'phase' | 'correctBefore'> | null): number {
  if (sample?.phase === 'stopped') return sample.correctBefore === null ? 1 : 2;
  return phases.findIndex(({ phase }) => phase === sample?.phase);
}
