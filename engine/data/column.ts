/** Stores a growing list of numbers in as few bytes as its typed array needs: a million numbers take a few megabytes. */
export class Column {
  #values: Float64Array | Uint32Array;
  #length = 0;

  /** Takes `Uint32Array` for counts of up to four billion, or `Float64Array` for positions in a file. */
  constructor(type: typeof Float64Array | typeof Uint32Array) {
    this.#values = new type(1024);
  }

  get length(): number {
    return this.#length;
  }

  add(value: number): void {
    if (this.#length === this.#values.length) {
      const wider =
        this.#values instanceof Uint32Array ? new Uint32Array(2 * this.#length) : new Float64Array(2 * this.#length);
      wider.set(this.#values);
      this.#values = wider;
    }
    this.#values[this.#length++] = value;
  }

  set(index: number, value: number): void {
    this.#values[index] = value;
  }

  /** Returns the numbers without copying them. The result is valid until the next number is added. */
  get values(): Float64Array | Uint32Array {
    return this.#values.subarray(0, this.#length);
  }

  at(index: number): number {
    return this.#values[index]!;
  }
}
