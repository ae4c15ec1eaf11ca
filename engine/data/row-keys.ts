/** Holds the keys of many rows in about thirty bytes each, and finds which of them are equal. */
import { Column } from './column.ts';

const wordsOfKey = 4;

export class RowKeys {
  /** Holds the keys one after another, four numbers each. */
  readonly #words = new Column(Uint32Array);
  /** Holds the numbers of different keys, each from the slot that its first word names; -1 is a free slot. */
  #slots = new Int32Array(2048).fill(-1);
  #different = 0;

  get length(): number {
    return this.#words.length / wordsOfKey;
  }

  /** Adds a key of sixteen bytes. Returns false where the key is there already. */
  add(key: Buffer): boolean {
    const at = this.length;
    for (let word = 0; word < wordsOfKey; word++) this.#words.add(key.readUInt32LE(4 * word));
    const slot = this.#slotOf(this.#words, at);
    if (this.#slots[slot]! >= 0) return false;
    this.#slots[slot] = at;
    if (2 * ++this.#different > this.#slots.length) this.#widen();
    return true;
  }

  /** Adds the last key once more. */
  repeat(): void {
    const last = wordsOfKey * (this.length - 1);
    for (let word = 0; word < wordsOfKey; word++) this.#words.add(this.#words.at(last + word));
  }

  /** Returns whether key `at` of `others` is one of these. */
  has(others: RowKeys, at: number): boolean {
    return this.#slots[this.#slotOf(others.#words, at)]! >= 0;
  }

  /** Returns the slot that holds this key, or the free one where it belongs. */
  #slotOf(words: Column, key: number): number {
    const [from, mask] = [wordsOfKey * key, this.#slots.length - 1];
    let slot = words.at(from) & mask;
    for (let known = this.#slots[slot]!; known >= 0; known = this.#slots[slot]!) {
      if (isSame(words, from, this.#words, wordsOfKey * known)) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #widen(): void {
    const known = this.#slots;
    this.#slots = new Int32Array(2 * known.length).fill(-1);
    for (const key of known) if (key >= 0) this.#slots[this.#slotOf(this.#words, key)] = key;
  }
}

function isSame(a: Column, i: number, b: Column, j: number): boolean {
  for (let word = 0; word < wordsOfKey; word++) if (a.at(i + word) !== b.at(j + word)) return false;
  return true;
}
