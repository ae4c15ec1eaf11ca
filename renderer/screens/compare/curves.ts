/** Makes the curves of a run over a chosen axis. */
import type { EvalMetrics, StepMetrics } from '../../../engine/contract.ts';
import type { Point } from '../../charts/smooth.ts';

export type Axis = 'step' | 'tokens' | 'epoch' | 'time';
export const axes: readonly { readonly value: Axis; readonly label: string }[] = [
  { value: 'step', label: 'Step' },
  { value: 'tokens', label: 'Tokens' },
  { value: 'epoch', label: 'Epoch' },
  { value: 'time', label: 'Time' },
];

/** Returns the training loss over an axis. Supervised tokens and seconds are per step, so they are summed up; step and epoch are positions already. */
export function trainingCurve(steps: readonly StepMetrics[], axis: Axis): Point[] {
  const xs = positions(steps, axis);
  return steps.map((row, i) => [xs[i]!, row.loss]);
}

/**
 * Returns the evaluation loss over an axis. An evaluation is placed where the last step before it ended, or at 0 before the
 * first step.
 */
export function evaluationCurve(steps: readonly StepMetrics[], evaluations: readonly EvalMetrics[], axis: Axis): Point[] {
  const xs = positions(steps, axis);
  let at = -1;
  return evaluations.map((evaluation) => {
    while (at + 1 < steps.length && steps[at + 1]!.step <= evaluation.step) at++;
    return [axis === 'step' ? evaluation.step : at < 0 ? 0 : xs[at]!, evaluation.evalLoss];
  });
}

function positions(steps: readonly StepMetrics[], axis: Axis): number[] {
  let sum = 0;
  return steps.map((row) => {
    if (axis === 'step') return row.step;
    if (axis === 'epoch') return row.epoch;
    sum += axis === 'tokens' ? row.supervisedTokens : row.seconds;
    return sum;
  });
}
