/** Reads what a run took from what was recorded of it. What is not known yet is null. */
import type { AdapterVersion, Run } from '../../../engine/contract.ts';
import { figure, fraction } from '../../ui/format.ts';

export interface Measured {
  readonly trained: number | null;
  /** Gives the peak resident bytes of its process. */
  readonly memory: number | null;
  readonly seconds: number | null;
  /** Gives the size of what it leaves. */
  readonly bytes: number | null;
  /** Gives the loss of the last evaluation, or that of the last step where no rows are evaluated. */
  readonly loss: number | null;
}

const known = (value: number): number | null => (value > 0 ? value : null);

export function measured(run: Run, version: Pick<AdapterVersion, 'bytes'> | null): Measured {
  return {
    trained: known(run.trainableParameters),
    memory: known(run.peakMemory),
    seconds: known(run.seconds),
    bytes: version?.bytes ?? null,
    loss: run.measures.loss?.last ?? run.lastLoss,
  };
}

/** Says what the first is of the second: `1/28`, or a percentage where they are nearly the same. */
export function ratioText(small: number, great: number): string {
  const ratio = small / great;
  if (ratio <= 2 / 3) return fraction(ratio);
  return ratio < 10 ? `${figure(100 * ratio, 3)}\u00a0%` : `${figure(ratio, 2)} ×`;
}
