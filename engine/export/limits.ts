/** What the proof of an export must hold, in one table. */
export interface ProofLimits {
  /** Nothing was rounded, so a comparison that fails means a wrong file and fails the export. */
  readonly lossless: boolean;
  /** Largest difference of any logit. */
  readonly maxLogitDifference: number | null;
  /** Share of positions whose most likely token is the same. */
  readonly top1Agreement: number | null;
}

/**
 * Rounding to f16, once and to nearest, moved the logits of SmolLM2-135M with an adapter, which go up to 47, by at most 4.3e-2: the
 * embedding, which is the head too, by 2.5e-2, the matrices of attention by 2.5e-2, those of the MLPs by 3.1e-2, the norms not at all. The
 * predicted distributions were within 6e-5 nats. A larger difference is no fault of the file, so f16 warns; q8_0 is judged by its choices.
 */
export const proofLimits = {
  f32: { lossless: true, maxLogitDifference: 1e-3, top1Agreement: null },
  f16: { lossless: false, maxLogitDifference: 5e-2, top1Agreement: 0.99 },
  q8_0: { lossless: false, maxLogitDifference: null, top1Agreement: 0.97 },
} as const satisfies Record<string, ProofLimits>;
