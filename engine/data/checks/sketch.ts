/**
 * Finds texts that are nearly the same without comparing each with every other (MinHash; Broder 1997). A sketch has one byte of
 * the minimum of each of 32 hashes over all runs of three words. The share of equal bytes of two sketches estimates the share
 * of runs that both texts contain, of all runs that either contains. Four bytes form a band; only texts that share a band are
 * compared, so that the time grows linearly with the number of texts.
 */
import { Column } from '../column.ts';

/** Texts of fewer words have too few runs for an estimate, so only exact duplicates of them are found. */
export const leastWords = 10;

const hashes = 32;
const bytesOfBand = 4;
const bands = hashes / bytesOfBand;
/** Two sketches with this many equal bytes are nearly the same. */
const nearlyEqual = (7 / 8) * hashes;
/** Limits how many texts of a band a text is compared with. Where very many share a band, the latest ones stand for all. */
const mostCompared = 32;

const factors = Uint32Array.from({ length: hashes }, (_, k) => Math.imul(2 * k + 3, 0x9e3779b1) | 1);

/** Makes the sketch of a text that is given word by word. */
export class Sketcher {
  readonly #least = new Uint32Array(hashes).fill(0xffffffff);
  #words = 0;
  #last = 0;
  #beforeLast = 0;

  add(word: number): void {
    const run = Math.imul(word ^ Math.imul(this.#last, 0x85ebca6b) ^ Math.imul(this.#beforeLast, 0xc2b2ae35), 0x27d4eb2f);
    this.#beforeLast = this.#last;
    this.#last = word;
    if (++this.#words < 3) return;
    const mixed = run ^ (run >>> 15);
    const least = this.#least;
    for (let k = 0; k < hashes; k++) {
      const product = Math.imul(mixed + k, factors[k]!);
      const hash = (product ^ (product >>> 13)) >>> 0;
      if (hash < least[k]!) least[k] = hash;
    }
  }

  /** Returns the sketch in base64, or null for a text too short to be compared. */
  get sketch(): string | null {
    if (this.#words < leastWords) return null;
    return Buffer.from(Uint8Array.from(this.#least, (hash) => Math.imul(hash, 0x9e3779b1) >>> 24)).toString('base64');
  }
}

/** Holds the sketches of many texts, 40 bytes each. */
export class Sketches {
  readonly #bands = new Column(Uint32Array);
  readonly #rows = new Column(Uint32Array);
  readonly #keys = new Column(Uint32Array);

  /** Adds the sketch of a row. `key` identifies the row's content in `nearTo`. */
  add(sketch: string, row: number, key: number): void {
    const bytes = Buffer.from(sketch, 'base64');
    for (let band = 0; band < bands; band++) this.#bands.add(bytes.readUInt32LE(bytesOfBand * band));
    this.#rows.add(row);
    this.#keys.add(key);
  }

  get length(): number {
    return this.#rows.length;
  }

  /**
   * Returns, in order, the rows that are nearly the same as one of `others`, or as an earlier row of these where `others` is
   * null. Rows for whose key `isOut` returns true are skipped.
   */
  nearTo(others: Sketches | null, isOut: (key: number) => boolean = () => false): number[] {
    const isNear = new Uint8Array(this.length);
    for (let i = 0; i < this.length; i++) if (isOut(this.#keys.at(i))) isNear[i] = 2;
    const [own, pool] = [this.#bands.values, (others ?? this).#bands.values];
    const known = pool.length / bands;
    const slots = 2 ** Math.ceil(Math.log2(2 * known + 2));
    const slotOf = (value: number): number => {
      const mixed = Math.imul(value, 0x9e3779b1);
      return (mixed ^ (mixed >>> 15)) & (slots - 1);
    };
    const heads = new Int32Array(slots);
    const next = new Int32Array(known);
    for (let band = 0; band < bands; band++) {
      heads.fill(-1);
      const enter = (i: number, slot: number): void => {
        next[i] = heads[slot]!;
        heads[slot] = i;
      };
      if (others !== null) for (let j = 0; j < known; j++) enter(j, slotOf(pool[bands * j + band]!));
      for (let i = 0; i < this.length; i++) {
        if (isNear[i] !== 0) continue;
        const value = own[bands * i + band]!;
        const slot = slotOf(value);
        let left = mostCompared;
        for (let j = heads[slot]!; j >= 0 && left > 0; j = next[j]!) {
          if (pool[bands * j + band] !== value) continue;
          left--;
          if (equalBytes(own, bands * i, pool, bands * j) < nearlyEqual) continue;
          isNear[i] = 1;
          break;
        }
        if (others === null && isNear[i] === 0) enter(i, slot);
      }
    }
    const rows: number[] = [];
    for (let i = 0; i < this.length; i++) if (isNear[i] === 1) rows.push(this.#rows.at(i));
    return rows;
  }
}

type Numbers = Column['values'];

/** Counts the equal bytes of the sketch at `i` of `a` and the sketch at `j` of `b`. */
function equalBytes(a: Numbers, i: number, b: Numbers, j: number): number {
  let equal = 0;
  for (let band = 0; band < bands; band++) {
    const differing = a[i + band]! ^ b[j + band]!;
    if (differing === 0) equal += bytesOfBand;
    else for (let byte = 0; byte < 32; byte += 8) if (((differing >>> byte) & 0xff) === 0) equal++;
  }
  return equal;
}
