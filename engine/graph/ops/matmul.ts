/** Matrix products: Gemm for matrices, FusedMatMul for stacks of matrices, and the adapted linear layer. */
import { assert } from '../../problem.ts';
import type { Dim, Graph, Op, Value } from '../graph.ts';
import { defineOp, sameShape } from '../graph.ts';

export interface GemmAttributes {
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
}

/** Rows and columns of a matrix as it enters the product. */
function dims(name: string, { shape }: Value, transposed = false): [Dim, Dim] {
  assert(shape.length === 2, `${name}: Gemm takes matrices, not [${shape.join()}]`);
  return transposed ? [shape[1]!, shape[0]!] : [shape[0]!, shape[1]!];
}

// y = α op(a) op(b) + c, where op transposes or not and c broadcasts (a bias row, or a whole matrix to add to).
// With a' = op(a), b' = op(b):   da' = α dy b'ᵀ        db' = α a'ᵀ dy        dc = dy
export const gemm: Op<GemmAttributes> = defineOp<GemmAttributes>({
  name: 'Gemm',
  forward(g, inputs, { transA, transB, alpha }) {
    const [m, k] = dims('a', inputs[0]!, transA);
    const [k2, n] = dims('b', inputs[1]!, transB);
    assert(k === k2, `${g.scopeName}: Gemm of [${inputs[0]!.shape.join()}] and [${inputs[1]!.shape.join()}]`);
    const attributes = {
      transA: { int: transA ? 1 : 0 },
      transB: { int: transB ? 1 : 0 },
      alpha: { float: alpha ?? 1 },
    };
    return [g.node('Gemm', inputs, { shape: [m, n], attributes })];
  },
  backward: (g, { inputs: [a, b, c], attributes: { transA = false, transB = false, alpha = 1 }, dy }) => [
    () => (transA ? gemm(g, [b!, dy], { transA: transB, transB: true, alpha }) : gemm(g, [dy, b!], { transB: !transB, alpha })),
    () => (transB ? gemm(g, [dy, a!], { transA: true, transB: transA, alpha }) : gemm(g, [a!, dy], { transA: !transA, alpha })),
    ...(c === undefined ? [] : [() => dy]),
  ],
});

// The same product over equal leading dimensions. FusedMatMul needs no transposed copies; WebGPU has no kernel for it,
// so a WebGPU provider would need Transpose and MatMul here.
export const matmul: Op<GemmAttributes> = defineOp<GemmAttributes>({
  name: 'FusedMatMul',
  forward(g, [a, b], { transA, transB, alpha }) {
    const batch = a!.shape.slice(0, -2);
    assert(sameShape(batch, b!.shape.slice(0, -2)), `${g.scopeName}: FusedMatMul of unequal stacks`);
    const [m, k] = dims('a', { ...a!, shape: a!.shape.slice(-2) }, transA);
    const [k2, n] = dims('b', { ...b!, shape: b!.shape.slice(-2) }, transB);
    assert(k === k2, `${g.scopeName}: FusedMatMul of [${a!.shape.join()}] and [${b!.shape.join()}]`);
    const attributes = {
      transA: { int: transA ? 1 : 0 },
      transB: { int: transB ? 1 : 0 },
      alpha: { float: alpha ?? 1 },
    };
    return [g.node('FusedMatMul', [a!, b!], { domain: 'com.microsoft', shape: [...batch, m, n], attributes })];
  },
  backward: (g, { inputs: [a, b], attributes: { transA = false, transB = false, alpha = 1 }, dy }) => [
    () =>
      transA ? matmul(g, [b!, dy], { transA: transB, transB: true, alpha }) : matmul(g, [dy, b!], { transB: !transB, alpha }),
    () =>
      transB ? matmul(g, [dy, a!], { transA: true, transB: transA, alpha }) : matmul(g, [a!, dy], { transA: !transA, alpha }),
  ],
});

/** A value built when first asked for. */
function once(build: () => Value): () => Value {
  let value: Value | null = null;
  return () => (value ??= build());
}

// LoRA (Hu et al. 2021): y = x Wᵀ + b + s (x Aᵀ) Bᵀ        inputs x [T, in], W [out, in], A [r, in], B [out, r], b [out]
// With u = x Aᵀ and du = s dy B:   dx = dy W + du A        dA = duᵀ x        dB = s dyᵀ u        db = Σ dy
// The additions ride on Gemm's third input, so the sums cost no pass of their own. W's own rule is there for completeness: it is frozen.
export const loraLinear: Op<{ readonly scale: number }> = defineOp<{ readonly scale: number }>({
  name: 'LoraLinear',
  forward(g, [x, w, a, b, bias], { scale }) {
    const base = gemm(g, bias === undefined ? [x!, w!] : [x!, w!, bias], { transB: true });
    const u = g.scope('lora', () => gemm(g, [x!, a!], { transB: true }));
    return [g.scope('lora', () => gemm(g, [u, b!, base], { transB: true, alpha: scale })), u];
  },
  backward(g, { inputs: [x, w, a, b, bias], attributes: { scale }, saved: [u], dy }) {
    const du = once(() => gemm(g, [dy, b!], { alpha: scale }));
    return [
      () => gemm(g, [du(), a!, gemm(g, [dy, w!], {})], {}),
      () => gemm(g, [dy, x!], { transA: true }),
      () => gemm(g, [du(), x!], { transA: true }),
      () => gemm(g, [dy, u!], { transA: true, alpha: scale }),
      ...(bias === undefined ? [] : [() => dy]),
    ];
  },
});

/** The factors of one adapted linear layer. */
export interface LoraFactors {
  /** `[r, in]` */
  readonly a: Value;
  /** `[out, r]` */
  readonly b: Value;
  /** alpha / r */
  readonly scale: number;
}

/** y = x Wᵀ + b, adapted where there are factors. */
export function linear(g: Graph, x: Value, w: Value, bias: Value | null, lora: LoraFactors | null): Value {
  const tail = bias === null ? [] : [bias];
  return lora === null
    ? gemm(g, [x, w, ...tail], { transB: true })
    : loraLinear(g, [x, w, lora.a, lora.b, ...tail], { scale: lora.scale });
}
