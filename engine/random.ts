/**
 * Computes random numbers by counter. A number is a pure function of its key and its index, never of what was drawn before, so
 * a run that is resumed, or that trains fewer matrices, draws the same values in the same places.
 */

/** Hashes `name` to 32 bits (FNV-1a over its UTF-16 units), so that each purpose has a stream of its own. */
export function streamOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Computes Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011). */
export function threefry(key: readonly [number, number], counter: readonly [number, number]): [number, number] {
  // Plain variables are used instead of lists, because an adapter draws millions of numbers before its first step.
  let a = key[1] | 0;
  let b = 0x1bd11bda ^ key[0] ^ key[1];
  let c = key[0] | 0;
  let x = (counter[0] + key[0]) | 0;
  let y = (counter[1] + key[1]) | 0;
  for (let group = 1; group <= 5; group++) {
    const isOdd = group % 2 === 1;
    x = (x + y) | 0;
    y = turned(y, isOdd ? 13 : 17) ^ x;
    x = (x + y) | 0;
    y = turned(y, isOdd ? 15 : 29) ^ x;
    x = (x + y) | 0;
    y = turned(y, isOdd ? 26 : 16) ^ x;
    x = (x + y) | 0;
    y = turned(y, isOdd ? 6 : 24) ^ x;
    x = (x + a) | 0;
    y = (y + b + group) | 0;
    const next = b;
    b = c;
    c = a;
    a = next;
  }
  return [x >>> 0, y >>> 0];
}

function turned(bits: number, by: number): number {
  return (bits << by) | (bits >>> (32 - by));
}

/** Fills `target` with uniform numbers from [-limit, limit). */
export function fillUniform(target: Float32Array, limit: number, seed: number, name: string): void {
  const key = [seed, streamOf(name)] as const;
  for (let i = 0; i < target.length; i += 2) {
    const words = threefry(key, [i / 2, 0]);
    target[i] = (words[0] / 2 ** 31 - 1) * limit;
    if (i + 1 < target.length) target[i + 1] = (words[1] / 2 ** 31 - 1) * limit;
  }
}

/** Fills `target` with normal numbers of mean 0 and standard deviation `deviation` (Box and Muller 1958). */
export function fillNormal(target: Float32Array, deviation: number, seed: number, name: string): void {
  const key = [seed, streamOf(name)] as const;
  for (let i = 0; i < target.length; i += 2) {
    const words = threefry(key, [i / 2, 0]);
    const radius = deviation * Math.sqrt(-2 * Math.log((words[0] + 0.5) / 2 ** 32));
    const angle = (2 * Math.PI * words[1]) / 2 ** 32;
    target[i] = radius * Math.cos(angle);
    if (i + 1 < target.length) target[i + 1] = radius * Math.sin(angle);
  }
}

/** Returns a permutation of 0 … length-1 (Fisher-Yates), the same one for the same seed and epoch. */
export function permutation(length: number, seed: number, epoch: number): Int32Array {
  const key = [seed, streamOf('row order')] as const;
  const order = Int32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const [word] = threefry(key, [i, epoch]);
    const j = Math.floor((word / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
