/** Embeds tokens, with an adapter where there are factors. */
import type { Graph } from '../graph.ts';
import type { Value } from '../node.ts';
import { mul } from './elementwise.ts';
import { gemm, type LoraFactors } from './matmul.ts';
import { gatherRows, transpose } from './shape.ts';

// y = W[ids] + s (Aᵀ[ids]) Bᵀ for W [tokens, out], A [r, tokens], B [out, r]: a token picks a column of A. `rows` is W[ids].
export function embedding(g: Graph, ids: Value, rows: Value, lora: LoraFactors | null): Value {
  if (lora === null) return rows;
  const { a, b, scale, outputScale } = lora;
  const picked = gatherRows(g, [transpose(g, [a], { permutation: [1, 0] }), ids]);
  const sum = gemm(g, [picked, b, rows], { transB: true, alpha: scale });
  return outputScale === undefined ? sum : mul(g, [sum, outputScale]);
}
