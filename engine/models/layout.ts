/** How a file keeps a tensor otherwise than the model computes with it, and the way there and back. */

export interface Layout {
  /** The shape in the file of a tensor of this shape. */
  storedShape(shape: readonly number[]): readonly number[];
  toModel(stored: Float32Array, shape: readonly number[]): Float32Array;
  toFile(values: Float32Array, shape: readonly number[]): Float32Array;
  /** Where only rows are moved: the row of the file that holds a row of the model. */
  readonly storedRow?: (row: number, rows: number) => number;
}

/**
 * llama.cpp rotates neighbouring pairs, transformers the two halves of a head: for architectures of the first kind its converter moves
 * row (half h, pair j) of each head to 2 j + h.
 */
export function interleavedRows(heads: number): Layout {
  return movedRows((row, rows) => {
    const headDim = rows / heads;
    const inHead = row % headDim;
    const half = Math.floor(inHead / (headDim / 2));
    return row - inHead + 2 * (inHead % (headDim / 2)) + half;
  });
}

/** Rows that are query, key and value head by head lie in the file as all queries, all keys, all values. */
export function rowsByKind(heads: number): Layout {
  return movedRows((row, rows) => {
    const headDim = rows / heads / 3;
    const head = Math.floor(row / (3 * headDim));
    const kind = Math.floor(row / headDim) % 3;
    return (kind * heads + head) * headDim + (row % headDim);
  });
}

/** The file keeps the factor itself, the model what it is above one. */
export const plusOne: Layout = {
  storedShape: (shape) => shape,
  toModel: (stored) => stored.map((value) => value - 1),
  toFile: (values) => values.map((value) => value + 1),
};

/** The file keeps `[in, out]`, the model `[out, in]` (transformers' Conv1D). */
export const transposed: Layout = {
  storedShape: ([rows, columns]) => [columns!, rows!],
  toModel: (stored, [rows, columns]) => transpose(stored, columns!, rows!),
  toFile: (values, [rows, columns]) => transpose(values, rows!, columns!),
};

/** `place` says where a row of the model stands in the file. */
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
