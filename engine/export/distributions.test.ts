import { describe, expect, it } from 'vitest';
import { Predictions } from './distributions.ts';

const logits = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log);

describe('predictions compared', () => {
  it('gives the numbers of the definitions', () => {
    const predictions = new Predictions();
    predictions.add(logits(0.5, 0.25, 0.25), logits(0.25, 0.5, 0.25), logits(0.1, 0.1, 0.8), 0);
    predictions.add(logits(0.5, 0.25, 0.25), logits(0.5, 0.25, 0.25), logits(0.5, 0.25, 0.25), null);
    const divergence = (p: number[], q: number[]) => p.reduce((sum, x, i) => sum + x * Math.log(x / q[i]!), 0);
    expect(predictions.positions).toBe(2);
    expect(predictions.top1Agreement).toBe(0.5);
    expect(predictions.divergence).toBeCloseTo(divergence([0.5, 0.25, 0.25], [0.25, 0.5, 0.25]) / 2, 6);
    expect(predictions.adapterEffect).toBeCloseTo(divergence([0.5, 0.25, 0.25], [0.1, 0.1, 0.8]) / 2, 6);
    expect(predictions.maxLogitDifference).toBeCloseTo(Math.LN2, 6);
    expect(predictions.meanLogitDifference).toBeCloseTo((2 * Math.LN2) / 6, 6);
    // Where the token had one half, it has one quarter: twice as perplexed.
    expect(predictions.perplexityChange).toBeCloseTo(1, 5);
  });

  it('never takes what is no number for equal', () => {
    const predictions = new Predictions();
    predictions.add(logits(0.5, 0.5), Float32Array.of(NaN, 0), null, null);
    expect(predictions.maxLogitDifference).toBe(Infinity);
    expect(predictions.perplexityChange).toBeNull();
  });
});
