/** Fits a small logistic model. */

export interface LogisticModel {
  readonly means: readonly number[];
  readonly deviations: readonly number[];
  /** Holds the weight of each standardized feature. */
  readonly weights: readonly number[];
  readonly bias: number;
}

/** Weighs the squares of the weights against the mean loss, so that separable rows have weights with an end. */
const penalty = 0.05;
const steps = 300;

/**
 * Fits a logistic model by gradient descent, from the same start each time. Features are standardized; one that never varies
 * gets the weight 0.
 */
export function fitLogistic(vectors: readonly (readonly number[])[], labels: readonly boolean[]): LogisticModel {
  const [rows, width] = [vectors.length, vectors[0]?.length ?? 0];
  const means = Array.from({ length: width }, (_, j) => vectors.reduce((sum, v) => sum + v[j]!, 0) / rows);
  const deviations = means.map((mean, j) => Math.sqrt(vectors.reduce((sum, v) => sum + (v[j]! - mean) ** 2, 0) / rows) || 1);
  const inputs = vectors.map((v) => Float64Array.from(v, (value, j) => (value - means[j]!) / deviations[j]!));
  // The loss curves at most by a quarter of the mean squared length of the inputs, and by the penalty.
  const lengths = inputs.reduce((sum, v) => sum + v.reduce((square, x) => square + x * x, 1), 0) / rows;
  const rate = 1 / (lengths / 4 + penalty);
  let weights = new Float64Array(width);
  let ahead = weights;
  let [bias, biasAhead] = [0, 0];
  for (let step = 1; step <= steps; step++) {
    const slopes = Float64Array.from(ahead, (weight) => penalty * weight);
    let biasSlope = 0;
    inputs.forEach((v, i) => {
      let score = biasAhead;
      for (let j = 0; j < width; j++) score += ahead[j]! * v[j]!;
      const error = (sigmoid(score) - Number(labels[i])) / rows;
      for (let j = 0; j < width; j++) slopes[j]! += error * v[j]!;
      biasSlope += error;
    });
    // Nesterov's momentum takes the step from a point ahead.
    const next = ahead.map((weight, j) => weight - rate * slopes[j]!);
    const nextBias = biasAhead - rate * biasSlope;
    const momentum = step / (step + 3);
    ahead = next.map((weight, j) => weight + momentum * (weight - weights[j]!));
    biasAhead = nextBias + momentum * (nextBias - bias);
    [weights, bias] = [next, nextBias];
  }
  return { means, deviations, weights: [...weights], bias };
}

export function probabilityOf({ means, deviations, weights, bias }: LogisticModel, vector: readonly number[]): number {
  return sigmoid(weights.reduce((sum, weight, j) => sum + weight * ((vector[j]! - means[j]!) / deviations[j]!), bias));
}

function sigmoid(score: number): number {
  return 1 / (1 + Math.exp(-score));
}
