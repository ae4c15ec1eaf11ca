/** Numbers that are added one by one and take as few bytes as their type: a million of them are a few megabytes. */
export class Column {
  #values: Float64Array | Uint32Array;
  #length = 0;

  /** `Uint32Array` for counts of up to four billion, `Float64Array` for places in a file. */
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

  /** Returns them as they are stored, until the next is added. */
  get values(): Float64Array | Uint32Array {
    return this.#values.subarray(0, this.#length);
  }

  at(index: number): number {
    return this.#values[index]!;
  }
}
