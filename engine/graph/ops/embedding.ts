/** Embedded tokens, adapted where there are factors. */
import type { Graph, Value } from '../graph.ts';
import { mul } from './elementwise.ts';
import { gemm, type LoraFactors } from './matmul.ts';
import { gatherRows, transpose } from './shape.ts';

// y = W[ids] + s (Aᵀ[ids]) Bᵀ for W [tokens, out], A [r, tokens], B [out, r]: a token picks a column of A.
export function embedding(g: Graph, ids: Value, w: Value, lora: LoraFactors | null): Value {
  const base = gatherRows(g, [w, ids]);
  if (lora === null) return base;
  const { a, b, scale, outputScale } = lora;
  const picked = gatherRows(g, [transpose(g, [a], { permutation: [1, 0] }), ids]);
  const sum = gemm(g, [picked, b, base], { transB: true, alpha: scale });
  return outputScale === undefined ? sum : mul(g, [sum, outputScale]);
}
