/** Defines the ways in which a file stores a tensor differently from the model, and converts in both directions. */

export interface Layout {
  /** Returns the shape in the file of a tensor that has this shape in the model. */
  storedShape(shape: readonly number[]): readonly number[];
  toModel(stored: Float32Array, shape: readonly number[]): Float32Array;
  toFile(values: Float32Array, shape: readonly number[]): Float32Array;
  /** Returns the row of the file that holds a row of the model. It is missing where more than rows is moved. */
  readonly storedRow?: (row: number, rows: number) => number;
}

/**
 * Moves rows for llama.cpp, which in some architectures rotates neighbouring pairs where transformers rotates the two halves of
 * a head: its converter moves row (half h, pair j) of each head to 2 j + h.
 */
export function interleavedRows(heads: number): Layout {
  return movedRows((row, rows) => {
    const headDim = rows / heads;
    const inHead = row % headDim;
    const half = Math.floor(inHead / (headDim / 2));
    return row - inHead + 2 * (inHead % (headDim / 2)) + half;
  });
}

/** Moves rows that are query, key and value of each head in the model, and all queries, all keys, all values in the file. */
export function rowsByKind(heads: number): Layout {
  return movedRows((row, rows) => {
    const headDim = rows / heads / 3;
    const head = Math.floor(row / (3 * headDim));
    const kind = Math.floor(row / headDim) % 3;
    return (kind * heads + head) * headDim + (row % headDim);
  });
}

/** Converts a factor that the file stores whole, while the model stores the factor minus one. */
export const plusOne: Layout = {
  storedShape: (shape) => shape,
  toModel: (stored) => stored.map((value) => value - 1),
  toFile: (values) => values.map((value) => value + 1),
};

/** Transposes a matrix that is `[in, out]` in the file and `[out, in]` in the model (transformers' Conv1D). */
export const transposed: Layout = {
  storedShape: ([rows, columns]) => [columns!, rows!],
  toModel: (stored, [rows, columns]) => transpose(stored, columns!, rows!),
  toFile: (values, [rows, columns]) => transpose(values, rows!, columns!),
};

/** Builds a layout from `place`, which says where a row of the model lies in the file. */
function movedRows(place: (row: number, rows: number) => number): Layout {
  const move = (values: Float32Array, [rows]: readonly number[], toFile: boolean): Float32Array => {
    const target = new Float32Array(values.length);
    const width = values.length / rows!;
    for (let row = 0; row < rows!; row++) {
      const there = place(row, rows!);
      const [from, to] = toFile ? [row, there] : [there, row];
      target.set(values.subarray(from * width, (from + 1) * width), to * width);
    }
    return target;
  };
  return {
    storedShape: (shape) => shape,
    toModel: (stored, shape) => move(stored, shape, false),
    toFile: (values, shape) => move(values, shape, true),
    storedRow: place,
  };
}

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const target = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) target[column * rows + row] = values[row * columns + column]!;
  return target;
}
