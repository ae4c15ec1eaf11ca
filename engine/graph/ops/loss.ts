/** Cross entropy of the next token, with the output head inside so that logits of all tokens never exist at once. */
import { assert } from '../../problem.ts';
import type { Op, Value } from '../graph.ts';
import { defineOp, Graph } from '../graph.ts';
import { tanh } from './activation.ts';
import { add, exp, log, mul, reciprocal, sub } from './elementwise.ts';
import { gemm } from './matmul.ts';
import { maxOfLast, reduceSum } from './reduce.ts';
import { gatherRows, reshape } from './shape.ts';

export interface CrossEntropyAttributes {
  /** Whether the gradient of the hidden rows is wanted: it is computed chunk by chunk beside the loss. */
  readonly withGradient: boolean;
  /** Logits z become cap · tanh(z / cap); null leaves them. */
  readonly cap: number | null;
}

// For each row: logits z = h Wᵀ + b, target token t, counted c ∈ {0, 1}
//   loss = c (log Σ exp(z) - z_t) = c (m + log s - h · W_t - b_t)        m = max z, e = exp(z - m), s = Σ e
//   dloss/dh = c (softmax(z) W - W_t) = c (e W / s - W_t)
// A cap puts u = tanh(z / cap), cap · u in the place of z, and the factor 1 - u² to each of the gradient's terms.
// h [chunks, rows, hidden], W [vocabulary, hidden], targets int64 [chunks, rows], counted [chunks, rows], b [vocabulary] or left out;
// loss [chunks, rows].
// One chunk at a time runs through a Scan; only one chunk's logits are alive.
export const headCrossEntropy: Op<CrossEntropyAttributes> = defineOp<CrossEntropyAttributes>({
  name: 'HeadCrossEntropy',
  forward(g, [h, w, targets, counted, bias], { withGradient, cap }) {
    const [chunks, rows, hidden] = h!.shape as [string | number, string | number, number];
    const body = new Graph(g.scope('chunk', () => g.scopeName));
    const bodyInput = (name: string, like: { dtype: 'float32' | 'int64' }, shape: readonly (string | number)[]) =>
      body.input(`${body.scopeName}/${name}`, like.dtype, shape);
    const x = bodyInput('hidden', { dtype: 'float32' }, [rows, hidden]);
    const target = bodyInput('target', { dtype: 'int64' }, [rows]);
    const count = reshape(body, [bodyInput('counted', { dtype: 'float32' }, [rows])], { shape: [rows, 1] });

    const bent = (logits: Value): { z: Value; slope: Value | null } => {
      if (cap === null) return { z: logits, slope: null };
      const u = tanh(body, [mul(body, [logits, body.scalar(1 / cap)])]);
      return { z: mul(body, [u, body.scalar(cap)]), slope: sub(body, [body.scalar(1), mul(body, [u, u])]) };
    };
    const sloped = (y: Value, slope: Value | null): Value => (slope === null ? y : mul(body, [y, slope]));
    const { z, slope } = bent(gemm(body, bias === undefined ? [x, w!] : [x, w!, bias], { transB: true }));
    const m = maxOfLast(body, z);
    const e = exp(body, [sub(body, [z, m])]);
    const s = reduceSum(body, [e], { axes: [-1] });
    const targetRow = gatherRows(body, [w!, target]);
    const product = reduceSum(body, [mul(body, [x, targetRow])], { axes: [-1] });
    const targetBias = bias && reshape(body, [gatherRows(body, [bias, target])], { shape: [rows, 1] });
    const { z: targetLogit, slope: targetSlope } = bent(targetBias === undefined ? product : add(body, [product, targetBias]));
    const loss = mul(body, [count, sub(body, [add(body, [m, log(body, [s])]), targetLogit])]);
    body.output(`${body.scopeName}/loss`, reshape(body, [loss], { shape: [rows] }));
    if (withGradient) {
      const softmaxRow = mul(body, [gemm(body, [sloped(e, slope), w!], {}), reciprocal(body, [s])]);
      body.output(`${body.scopeName}/gradient`, mul(body, [count, sub(body, [softmaxRow, sloped(targetRow, targetSlope)])]));
    }

    const outputs = [{ shape: [chunks, rows] }, ...(withGradient ? [{ shape: h!.shape }] : [])];
    const [tokenLoss, ...saved] = g.nodeWithOutputs('Scan', [h!, targets!, counted!], outputs, {
      attributes: { body: { graph: body }, num_scan_inputs: { int: 3 } },
    });
    return [tokenLoss!, ...saved];
  },
  backward: (g, { inputs: [h, , , , bias], saved: [dh], dy }) => [
    () => {
      assert(dh !== undefined, 'the loss was built without its gradient');
      return mul(g, [dh, reshape(g, [dy], { shape: [...h!.shape.slice(0, 2), 1] })]);
    },
    null,
    null,
    null,
    ...(bias === undefined ? [] : [null]),
  ],
});
