/** Defines products of matrices, and the adapted linear layer. */
import type { Graph } from '../graph.ts';
import type { Value } from '../node.ts';
import { defineOp, type Op } from '../op.ts';
import { add, mul, reciprocal, sqrt, sub } from './elementwise.ts';
import { dropout, type DropoutAttributes, type RowKeys } from './random.ts';
import { reduceSum } from './reduce.ts';
import { reshape } from './shape.ts';

export interface GemmAttributes {
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
}

// y = α op(a) op(b) + c, where op transposes or not and c broadcasts (a bias row, or a whole matrix to add to).
// With a' = op(a), b' = op(b):   da' = α dy b'ᵀ        db' = α a'ᵀ dy        dc = dy
export const gemm: Op<GemmAttributes> = defineOp<GemmAttributes>({
  name: 'Gemm',
  forward: (g, inputs, { transA, transB, alpha }) => [
    g.node('Gemm', inputs, { transA: { int: transA ? 1 : 0 }, transB: { int: transB ? 1 : 0 }, alpha: { float: alpha ?? 1 } }),
  ],
  backward: (g, { inputs: [a, b, c], attributes: { transA = false, transB = false, alpha = 1 }, dy }) => [
    () => (transA ? gemm(g, [b!, dy], { transA: transB, transB: true, alpha }) : gemm(g, [dy, b!], { transB: !transB, alpha })),
    () => (transB ? gemm(g, [dy, a!], { transA: true, transB: transA, alpha }) : gemm(g, [a!, dy], { transA: !transA, alpha })),
    ...(c === undefined ? [] : [() => dy]),
  ],
});

/** Returns a function that builds a value when first called, and then returns the same one. */
function once(build: () => Value): () => Value {
  let value: Value | null = null;
  return () => (value ??= build());
}

// LoRA (Hu et al. 2021): y = x Wᵀ + b + s (x Aᵀ) Bᵀ        inputs x [T, in], W [out, in], A [r, in], B [out, r], b [out]
// With u = x Aᵀ and du = s dy B:   dx = dy W + du A        dA = duᵀ x        dB = s dyᵀ u        db = Σ dy
// Sums are added by a node of their own: Gemm would first copy its third input, on one thread. W's own rule is there for completeness:
// it is frozen.
export const loraLinear: Op<{ readonly scale: number }> = defineOp<{ readonly scale: number }>({
  name: 'LoraLinear',
  forward(g, [x, w, a, b, bias], { scale }) {
    const base = gemm(g, bias === undefined ? [x!, w!] : [x!, w!, bias], { transB: true });
    const u = g.scope('lora', () => gemm(g, [x!, a!], { transB: true }));
    return [g.scope('lora', () => add(g, [base, gemm(g, [u, b!], { transB: true, alpha: scale })])), u];
  },
  backward(g, { inputs: [x, w, a, b, bias], attributes: { scale }, saved: [u], dy }) {
    const du = once(() => gemm(g, [dy, b!], { alpha: scale }));
    return [
      () => add(g, [gemm(g, [dy, w!], {}), gemm(g, [du(), a!], {})]),
      () => gemm(g, [dy, x!], { transA: true }),
      () => gemm(g, [du(), x!], { transA: true }),
      () => gemm(g, [dy, u!], { transA: true, alpha: scale }),
      ...(bias === undefined ? [] : [() => dy]),
    ];
  },
});

/** Holds the factors of one adapted matrix W, which is [out, in], or [in, out] for an embedding. */
export interface LoraFactors {
  /** Holds the factor A, `[r, in]`. */
  readonly a: Value;
  /** Holds the factor B, `[out, r]`. */
  readonly b: Value;
  /** Gives the factor of B A, usually alpha / r. */
  readonly scale: number;
  /** Holds the factors of DoRA for the outputs, `[out]`; they do not scale a bias. */
  readonly outputScale?: Value;
  /** Holds the factors whose s B A is subtracted from W. */
  readonly taken?: { readonly a: Value; readonly b: Value };
  /** Holds the dropout of the input of a linear layer, which affects the adapter alone. */
  readonly dropout?: DropoutAttributes & { readonly keys: RowKeys };
}

/** Builds y = x Wᵀ + b, with an adapter where there are factors. */
export function linear(g: Graph, x: Value, w: Value, bias: Value | null, lora: LoraFactors | null): Value {
  const tail = bias === null ? [] : [bias];
  if (lora === null) return gemm(g, [x, w, ...tail], { transB: true });
  const { a, b, scale, outputScale, taken } = lora;
  if (taken !== undefined) {
    const y = linear(g, x, w, bias, { a, b, scale, ...(lora.dropout ? { dropout: lora.dropout } : {}) });
    return gemm(g, [gemm(g, [x, taken.a], { transB: true }), taken.b, y], { transB: true, alpha: -scale });
  }
  if (lora.dropout !== undefined) return droppingLinear(g, x, w, tail, { ...lora, dropout: lora.dropout });
  if (outputScale === undefined) return loraLinear(g, [x, w, a, b, ...tail], { scale });
  const scaled = mul(g, [loraLinear(g, [x, w, a, b], { scale }), outputScale]);
  return bias === null ? scaled : add(g, [scaled, bias]);
}

// With x' = dropout(x):   y = x Wᵀ + b + s (x' Aᵀ) Bᵀ        DoRA, as PEFT has it: y = x Wᵀ + b - x' Wᵀ + c ∘ (x' Wᵀ + s (x' Aᵀ) Bᵀ)
function droppingLinear(
  g: Graph,
  x: Value,
  w: Value,
  tail: readonly Value[],
  {
    a,
    b,
    scale,
    outputScale,
    dropout: { keys, ...attributes },
  }: LoraFactors & { dropout: NonNullable<LoraFactors['dropout']> },
): Value {
  const base = gemm(g, [x, w, ...tail], { transB: true });
  const dropped = dropout(g, [x, ...keys], attributes);
  const u = gemm(g, [dropped, a], { transB: true });
  if (outputScale === undefined) return gemm(g, [u, b, base], { transB: true, alpha: scale });
  const droppedBase = gemm(g, [dropped, w], { transB: true });
  const adapted = mul(g, [gemm(g, [u, b, droppedBase], { transB: true, alpha: scale }), outputScale]);
  return add(g, [base, sub(g, [adapted, droppedBase])]);
}

// DoRA (Liu et al. 2024): c_i = m_i / ‖W_i + s (B A)_i‖ over the rows i of W [out, in], or its columns when it is an embedding [in, out].
//   ‖W_i + s (B A)_i‖² = ‖W_i‖² + 2 s B_i · (W Aᵀ)_i + s² B_i · (B A Aᵀ)_i, so that B A is never there
//   dm = dc / ‖…‖; the length counts as a constant (section 4.3), so W, A and B get no gradient through it.
export const doraScale: Op<{ readonly scale: number; readonly embedding: boolean }> = defineOp<{
  readonly scale: number;
  readonly embedding: boolean;
}>({
  name: 'DoraScale',
  forward(g, [m, w, a, b], { scale, embedding }) {
    const out = b!.shape[0]!;
    const alongRank = (x: Value, y: Value): Value =>
      reshape(g, [reduceSum(g, [mul(g, [x, y])], { axes: [-1] })], { shape: [out] });
    const squares = g.node('ReduceSumSquare', [w!, g.constant('int64', [1], [embedding ? 0 : 1])], { keepdims: { int: 1 } });
    const base = reshape(g, [squares], { shape: [out] });
    const ofBoth = alongRank(b!, gemm(g, [w!, a!], { transA: embedding, transB: true, alpha: 2 * scale }));
    const gram = gemm(g, [a!, a!], { transB: true });
    const ofDelta = alongRank(b!, gemm(g, [b!, gram], { alpha: scale * scale }));
    const inverse = reciprocal(g, [sqrt(g, [add(g, [base, add(g, [ofBoth, ofDelta])])])]);
    return [mul(g, [m!, inverse]), inverse];
  },
  backward: (g, { saved: [inverse], dy }) => [() => mul(g, [dy, inverse!]), null, null, null],
});
