/**
 * Sets the largest sizes that a model may have. They are far above any real model, so a config beyond them is damaged or
 * hostile.
 */

export const sizeLimits = {
  hiddenSize: 131_072,
  intermediateSize: 1_048_576,
  layers: 1024,
  heads: 4096,
  headDim: 2048,
  vocabularySize: 4_194_304,
  contextLength: 1_073_741_824,
} as const;

/** Says what is wrong with a size, or is null where it is a whole number within its limit. */
export function limitFault(what: keyof typeof sizeLimits, value: number): string | null {
  const limit = sizeLimits[what];
  if (Number.isSafeInteger(value) && value >= 1 && value <= limit) return null;
  return `${words(what)} is ${value}; it must be a whole number from 1 to ${limit}`;
}

/** Splits a key into words: `hiddenSize` becomes `hidden size`. */
function words(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
