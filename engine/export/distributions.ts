/**
 * Compares the predictions of two models at the same positions: logits, distributions, most likely tokens, and the loss of the
 * tokens that really follow.
 */

/** Sums up comparisons over positions; `add` takes one position after the other. */
export class Predictions {
  positions = 0;
  /** Holds the largest difference of any logit; Infinity when one is NaN. */
  maxLogitDifference = 0;
  #sumOfDifferences = 0;
  #logits = 0;
  #sameTop = 0;
  #divergence = 0;
  #divergenceOfBase = 0;
  #lossExpected = 0;
  #lossFound = 0;
  #followed = 0;

  /**
   * Adds one position. `expected`, `found` and, where there is an adapter, `base` are logits `[vocabulary]`; `target` is the
   * token that follows, if known.
   */
  add(expected: Float32Array, found: Float32Array, base: Float32Array | null, target: number | null): void {
    let difference = 0;
    let sum = 0;
    let [topExpected, topFound] = [0, 0];
    for (let i = 0; i < expected.length; i++) {
      const apart = Math.abs(expected[i]! - found[i]!);
      sum += apart;
      if (apart > difference) difference = apart;
      if (expected[i]! > expected[topExpected]!) topExpected = i;
      if (found[i]! > found[topFound]!) topFound = i;
    }
    this.positions++;
    // Comparisons with NaN are always false, and NaN must not pass as equal.
    this.maxLogitDifference = Number.isFinite(sum) ? Math.max(this.maxLogitDifference, difference) : Infinity;
    this.#sumOfDifferences += sum;
    this.#logits += expected.length;
    if (topExpected === topFound) this.#sameTop++;
    const [ofExpected, ofFound] = [logSum(expected), logSum(found)];
    this.#divergence += divergence(expected, ofExpected, found, ofFound);
    if (base !== null) this.#divergenceOfBase += divergence(expected, ofExpected, base, logSum(base));
    if (target !== null) {
      this.#followed++;
      this.#lossExpected += ofExpected - expected[target]!;
      this.#lossFound += ofFound - found[target]!;
    }
  }

  get meanLogitDifference(): number {
    return this.#logits === 0 ? 0 : this.#sumOfDifferences / this.#logits;
  }

  get top1Agreement(): number {
    return this.positions === 0 ? 0 : this.#sameTop / this.positions;
  }

  /** Returns the mean of KL(expected || found) in nats. */
  get divergence(): number {
    return this.positions === 0 ? 0 : this.#divergence / this.positions;
  }

  /** Returns the mean of KL(expected || base) in nats: how much the adapter changes. */
  get adapterEffect(): number {
    return this.positions === 0 ? 0 : this.#divergenceOfBase / this.positions;
  }

  /**
   * Returns the relative change of the perplexity on the tokens that follow, exp(mean loss of found - mean loss of expected) -
   * 1, or null when no such token is known.
   */
  get perplexityChange(): number | null {
    return this.#followed === 0 ? null : Math.exp((this.#lossFound - this.#lossExpected) / this.#followed) - 1;
  }
}

/** Computes log Σ exp(z). */
function logSum(logits: Float32Array): number {
  let most = -Infinity;
  for (const z of logits) if (z > most) most = z;
  let sum = 0;
  for (const z of logits) sum += Math.exp(z - most);
  return most + Math.log(sum);
}

/** Computes KL(p || q) = Σ p (log p - log q) in nats, never below 0. */
function divergence(p: Float32Array, ofP: number, q: Float32Array, ofQ: number): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const logP = p[i]! - ofP;
    sum += Math.exp(logP) * (logP - (q[i]! - ofQ));
  }
  return Math.max(0, sum);
}
