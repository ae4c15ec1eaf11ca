/**
 * Hashes numbers and texts quickly to 32 bits (FNV-1a with a final mixing step). The hash serves to distinguish values, not to
 * verify them.
 */

export const hashStart = 0x811c9dc5 | 0;

/** Adds one more number to a hash. Its lower 32 bits count. */
export function hashWith(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193);
}

/** Finishes a hash. The result is from 0 to 2^32 - 1. */
export function hashEnd(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}

/** Hashes a text. */
export function hashText(text: string): number {
  let hash = hashStart;
  for (let i = 0; i < text.length; i++) hash = hashWith(hash, text.charCodeAt(i));
  return hashEnd(hash);
}
