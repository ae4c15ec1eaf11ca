/** Brings matrices to a smaller rank with the least error in the Frobenius norm, and says how much is lost. */
import { largestSingular, product, symmetricEigen, thinQr, transpose, type LinearMap, type Matrix } from './decompose.ts';

/** Holds a matrix of low rank as B A, and what it lost when it was brought to that rank. */
export interface LowRank {
  readonly rank: number;
  /** Holds the factor A, `[rank, in]`, row-major. */
  readonly a: Float32Array;
  /** Holds the factor B, `[out, rank]`, row-major. */
  readonly b: Float32Array;
  /** Gives the Frobenius norm of what is lost as a share of the whole matrix's; 0 where nothing was cut. */
  readonly lost: number;
}

/**
 * Returns the best B A of at most this rank for the product of `left` [out, k] and `right` [k, in]. Only a matrix of k x k is
 * decomposed: with left = Q R and rightᵀ = P S the product is Q (R Sᵀ) Pᵀ. As in PEFT the rows of A are orthonormal, and B holds
 * the singular values.
 */
export function cutProduct(left: Matrix, right: Matrix, most: number): LowRank {
  const { q, r } = thinQr(left, left.columns);
  const { q: p, r: s } = thinQr(transpose(right), right.rows);
  const middle = product(r, transpose(s));
  const { values, vectors } = symmetricEigen(product(transpose(middle), middle));
  const rank = Math.min(most, middle.rows, middle.columns);
  const kept = firstColumns(vectors, rank);
  const a = Float32Array.from(transpose(product(p, kept)).values);
  const b = Float32Array.from(product(q, product(middle, kept)).values);
  const squares = values.map((value) => Math.max(value, 0));
  return { rank, a, b, lost: shareOf(sum(squares.subarray(rank)), sum(squares)) };
}

/** Gives the largest smaller side of a matrix that is decomposed whole, which takes about 0.2 seconds. */
const mostWhole = 128;
/** Singular values move by the square of the error of their vectors, so this holds the vectors to about 1e-6. */
const tolerance = 1e-13;

/** Returns the best B A of at most this rank for a whole matrix `[out, in]`, row-major. `seed` begins the iteration. */
export async function cutMatrix(
  values: Float32Array,
  [rows, columns]: readonly [number, number],
  most: number,
  seed: number,
): Promise<LowRank> {
  const small = Math.min(rows, columns);
  const rank = Math.min(most, small);
  const found = await largestSingular(mapOf(values, rows, columns), small <= mostWhole ? small : rank, seed, { tolerance });
  const left = firstColumns(found.left, rank);
  const b = Float32Array.from(left.values, (value, i) => value * found.values[i % rank]!);
  const a = Float32Array.from(transpose(firstColumns(found.right, rank)).values);
  const whole = values.reduce((total, value) => total + value ** 2, 0);
  const kept = sum(found.values.subarray(0, rank).map((value) => value ** 2));
  return { rank, a, b, lost: rank === small ? 0 : shareOf(Math.max(whole - kept, 0), whole) };
}

/** Multiplies a matrix by narrow ones, each of whose rows is read once. */
function mapOf(values: Float32Array, rows: number, columns: number): LinearMap {
  return {
    ...{ rows, columns },
    times: ({ columns: width, values: x }) => {
      const y = new Float64Array(rows * width);
      for (let i = 0; i < rows; i++)
        for (let l = 0; l < columns; l++) {
          const value = values[i * columns + l]!;
          for (let j = 0; j < width; j++) y[i * width + j]! += value * x[l * width + j]!;
        }
      return Promise.resolve({ rows, columns: width, values: y });
    },
    transposedTimes: ({ columns: width, values: y }) => {
      const x = new Float64Array(columns * width);
      for (let i = 0; i < rows; i++)
        for (let l = 0; l < columns; l++) {
          const value = values[i * columns + l]!;
          for (let j = 0; j < width; j++) x[l * width + j]! += value * y[i * width + j]!;
        }
      return Promise.resolve({ rows: columns, columns: width, values: x });
    },
  };
}

function firstColumns({ rows, columns, values }: Matrix, count: number): Matrix {
  const chosen = new Float64Array(rows * count);
  for (let row = 0; row < rows; row++) chosen.set(values.subarray(row * columns, row * columns + count), row * count);
  return { rows, columns: count, values: chosen };
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}

function shareOf(squares: number, whole: number): number {
  return whole === 0 ? 0 : Math.sqrt(squares / whole);
}
