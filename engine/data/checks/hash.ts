/** A quick hash of numbers and texts of 32 bits (FNV-1a with a last mixing): to tell apart, never to trust. */

export const hashStart = 0x811c9dc5 | 0;

/** Takes one more number, of which the lower 32 bits count. */
export function hashWith(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193);
}

/** Ends a hash, from 0 to 2^32 - 1. */
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
