/** What the proof of an export must hold, in one table. */
export interface ProofLimits {
  /** Nothing was rounded, so a comparison that fails means a wrong file and fails the export. */
  readonly lossless: boolean;
  /** Largest difference of any logit. */
  readonly maxLogitDifference: number | null;
  /** Share of positions whose most likely token is the same. */
  readonly top1Agreement: number | null;
}

/** Rounding the weights to f16 moves logits of about 20 by some thousandths; q8_0 is judged by its choices, not by its numbers. */
export const proofLimits = {
  f32: { lossless: true, maxLogitDifference: 1e-3, top1Agreement: null },
  f16: { lossless: false, maxLogitDifference: 5e-2, top1Agreement: 0.99 },
  q8_0: { lossless: false, maxLogitDifference: null, top1Agreement: 0.97 },
} as const satisfies Record<string, ProofLimits>;
