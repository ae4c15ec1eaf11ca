/** Lists the limits that the proof of an export must hold, in one table. */
export interface ProofLimits {
  /**
   * Says what must hold exactly, so that a miss means a wrong file and fails the export. `values`: all numbers are the same.
   * `rounding`: each number is the nearest that the type has. Null: nothing, and a miss is only a warning.
   */
  readonly certain: 'values' | 'rounding' | null;
  /** Gives the largest relative error of a tensor, |read back - merged| / |merged| as lengths of vectors. */
  readonly tensorError: number;
  /** Gives the largest difference of any logit, or null where it is not limited. */
  readonly maxLogitDifference: number | null;
  /** Gives the least share (0 to 1) of positions whose most likely token is the same, or null where it is not limited. */
  readonly top1Agreement: number | null;
}

/**
 * Rounding to the nearest f16 moves a number by at most 2^-11 of itself, to bf16 by 2^-8, and a tensor by no more than its
 * numbers. That is their limit, and a file beyond it was rounded wrongly. Numbers below 2^-14, where f16 has steps of one size,
 * count as that large.
 *
 * What such rounding does to logits has no such bound: it depends on the model and the adapter, not on the file. Measured on
 * SmolLM2-135M, over 284 positions, with all the most likely tokens the same each time:
 *
 *   f16, the base           worst tensor 2.05e-4   largest logit difference 4.2e-2   3.7e-6 nats apart
 *   f16, a random adapter   worst tensor 2.09e-4   largest logit difference 7.2e-2   4.5e-6 nats apart
 *   bf16, the base          worst tensor 1.41e-3   largest logit difference 2.8e-1   1.2e-4 nats apart
 *
 * and with a trained adapter a largest logit difference of 8.1e-2 in f16. So f16 warns beyond 0.2, more than twice what honest
 * files did, and both are judged by their choices.
 *
 * Of 256 positions of the same model and its sample data, the most likely token was the same in bf16 at 99.6 %, q8_0 100 %,
 * q6_k 99.6 %, q5_k_m 99.2 %, q5_1 98.8 %, q5_0 98.4 %, q4_k_m 97.7 %, q4_0 98.0 %, q4_1 90.6 %, q3_k_m 96.5 %, q2_k 90.6 %. A
 * small model feels rounding more than a large one, so what is asked for is that with room for the chance of 256 positions;
 * below it the file is worth a warning.
 *
 * A tensor of q4_0 is off by a tenth of itself, and by a third in the worst case (all of a block but one element at half a
 * step); the other limits stand to what was measured (q8_0 0.007, q6_k 0.018, q5_0 0.053, q4_k_m 0.052, q3_k_m 0.10, q2_k 0.16)
 * about as that third does.
 */
export const proofLimits = {
  f32: { certain: 'values', tensorError: 1e-6, maxLogitDifference: 1e-3, top1Agreement: null },
  f16: { certain: 'rounding', tensorError: 2 ** -11, maxLogitDifference: 0.2, top1Agreement: 0.99 },
  bf16: { certain: 'rounding', tensorError: 2 ** -8, maxLogitDifference: null, top1Agreement: 0.98 },
  q8_0: { certain: null, tensorError: 0.025, maxLogitDifference: null, top1Agreement: 0.97 },
  q6_k: { certain: null, tensorError: 0.06, maxLogitDifference: null, top1Agreement: 0.97 },
  q5_k_m: { certain: null, tensorError: 0.18, maxLogitDifference: null, top1Agreement: 0.95 },
  q5_1: { certain: null, tensorError: 0.18, maxLogitDifference: null, top1Agreement: 0.95 },
  q5_0: { certain: null, tensorError: 0.18, maxLogitDifference: null, top1Agreement: 0.95 },
  q4_k_m: { certain: null, tensorError: 0.35, maxLogitDifference: null, top1Agreement: 0.9 },
  q4_1: { certain: null, tensorError: 0.35, maxLogitDifference: null, top1Agreement: 0.85 },
  q4_0: { certain: null, tensorError: 0.35, maxLogitDifference: null, top1Agreement: 0.85 },
  q3_k_m: { certain: null, tensorError: 0.5, maxLogitDifference: null, top1Agreement: 0.8 },
  q2_k: { certain: null, tensorError: 0.7, maxLogitDifference: null, top1Agreement: 0.7 },
  // ONNX: blocks of 32 with a zero point each, the embedding in half precision.
  q8: { certain: null, tensorError: 0.025, maxLogitDifference: null, top1Agreement: 0.97 },
  q4: { certain: null, tensorError: 0.35, maxLogitDifference: null, top1Agreement: 0.85 },
} as const satisfies Record<string, ProofLimits>;
