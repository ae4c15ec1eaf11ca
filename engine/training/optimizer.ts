import type { Recipe } from '../recipe.ts';

/** Holds the state of AdamW: both moments of each parameter, in the order of the parameters, and the number of updates made. */
export interface AdamState {
  readonly mean: Float32Array;
  readonly square: Float32Array;
  updates: number;
}

export function newAdamState(length: number): AdamState {
  return { mean: new Float32Array(length), square: new Float32Array(length), updates: 0 };
}

/** Describes a range of the parameters, from `start` up to but not including `end`, that has a learning rate of its own. */
export interface ParameterGroup {
  readonly start: number;
  readonly end: number;
  /** Gives the factor by which the learning rate of the step is multiplied. */
  readonly rateFactor: number;
  /** Says whether weight decay applies. */
  readonly decays: boolean;
}

/**
 * Makes one update of AdamW in place, with decoupled weight decay and bias correction, moments in float32 and arithmetic in
 * float64. The
 * order of operations is torch's (torch/optim/adamw.py, _single_tensor_adamw).
 */
export function adamwUpdate(
  parameters: Float32Array,
  gradient: Float32Array,
  state: AdamState,
  rate: number,
  recipe: Pick<Recipe, 'beta1' | 'beta2' | 'epsilon' | 'weightDecay'>,
  groups: readonly ParameterGroup[] = [{ start: 0, end: parameters.length, rateFactor: 1, decays: true }],
): void {
  const { beta1, beta2, epsilon, weightDecay } = recipe;
  const { mean, square } = state;
  state.updates += 1;
  const squareCorrection = 1 / Math.sqrt(1 - beta2 ** state.updates);
  for (const { start, end, rateFactor, decays } of groups) {
    const keep = decays ? 1 - rate * rateFactor * weightDecay : 1;
    const stepSize = (rate * rateFactor) / (1 - beta1 ** state.updates);
    for (let i = start; i < end; i++) {
      const g = gradient[i]!;
      const m = mean[i]! + (g - mean[i]!) * (1 - beta1);
      const v = square[i]! * beta2 + g * g * (1 - beta2);
      mean[i] = m;
      square[i] = v;
      parameters[i] = parameters[i]! * keep - (stepSize * m) / (Math.sqrt(v) * squareCorrection + epsilon);
    }
  }
}

/** Returns the Euclidean norm over all trained tensors together. */
export function globalNorm(gradient: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < gradient.length; i++) sum += gradient[i]! * gradient[i]!;
  return Math.sqrt(sum);
}

/**
 * Scales a gradient whose norm is `norm` down to `limit` in place, as torch's clip_grad_norm_ does; a limit of 0 never clips.
 */
export function clipByNorm(gradient: Float32Array, norm: number, limit: number): void {
  const factor = limit / (norm + 1e-6);
  if (limit === 0 || factor >= 1) return;
  for (let i = 0; i < gradient.length; i++) gradient[i] = gradient[i]! * factor;
}
