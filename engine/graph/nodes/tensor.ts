/** Defines tensors in float64, and how kernels walk through them. */

export interface Tensor {
  readonly dims: readonly number[];
  readonly data: Float64Array;
}

/** Returns the number of elements. */
export const size = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

export function stridesOf(dims: readonly number[]): number[] {
  return dims.map((_, axis) => size(dims.slice(axis + 1)));
}

/** Broadcasts a tensor to `dims`: its axes of size 1 repeat. */
export function repeated({ dims: own, data }: Tensor, dims: readonly number[]): Float64Array {
  const strides = stridesOf(own);
  return Float64Array.from({ length: size(dims) }, (_, flat) => {
    let index = 0;
    for (let axis = dims.length - 1, rest = flat; axis >= 0; axis--) {
      const at = rest % dims[axis]!;
      rest = (rest - at) / dims[axis]!;
      const ownAxis = axis - dims.length + own.length;
      if (ownAxis >= 0 && own[ownAxis] !== 1) index += at * strides[ownAxis]!;
    }
    return data[index]!;
  });
}

/** Returns a tensor with its axes in another order. */
export function transposed({ dims, data }: Tensor, permutation: readonly number[]): Tensor {
  const to = permutation.map((axis) => dims[axis]!);
  const from = stridesOf(dims);
  const strides = stridesOf(to);
  return {
    dims: to,
    data: Float64Array.from({ length: data.length }, (_, flat) => {
      const index = to.reduce((sum, dim, i) => sum + (Math.floor(flat / strides[i]!) % dim) * from[permutation[i]!]!, 0);
      return data[index]!;
    }),
  };
}

/** Returns the permutation that exchanges the last two axes. */
export function lastTwoSwapped(rank: number): number[] {
  return Array.from({ length: rank }, (_, i) => (i === rank - 1 ? rank - 2 : i === rank - 2 ? rank - 1 : i));
}

/** Applies `f` to every vector along the last axis. */
export function alongLast({ dims, data }: Tensor, f: (row: Float64Array) => Float64Array): Tensor {
  const width = dims.at(-1)!;
  const result = new Float64Array(data.length);
  for (let start = 0; start < data.length; start += width) result.set(f(data.slice(start, start + width)), start);
  return { dims, data: result };
}
