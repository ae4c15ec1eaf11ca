/** Cross entropy of the next token, with the output head inside so that logits of all tokens never exist at once. */
import { assert } from '../../problem.ts';
import type { Op } from '../graph.ts';
import { defineOp, Graph } from '../graph.ts';
import { add, exp, log, mul, reciprocal, sub } from './elementwise.ts';
import { gemm } from './matmul.ts';
import { maxOfLast, reduceSum } from './reduce.ts';
import { gatherRows, reshape } from './shape.ts';

export interface CrossEntropyAttributes {
  /** Whether the gradient of the hidden rows is wanted: it is computed chunk by chunk beside the loss. */
  readonly withGradient: boolean;
}

// For each row: logits z = h Wᵀ, target token t, counted c ∈ {0, 1}
//   loss = c (log Σ exp(z) - z_t) = c (m + log s - h · W_t)        m = max z, e = exp(z - m), s = Σ e
//   dloss/dh = c (softmax(z) W - W_t) = c (e W / s - W_t)
// h [chunks, rows, hidden], W [vocabulary, hidden], targets int64 [chunks, rows], counted [chunks, rows]; loss [chunks, rows].
// One chunk at a time runs through a Scan; only one chunk's logits are alive.
export const headCrossEntropy: Op<CrossEntropyAttributes> = defineOp<CrossEntropyAttributes>({
  name: 'HeadCrossEntropy',
  forward(g, [h, w, targets, counted], { withGradient }) {
    const [chunks, rows, hidden] = h!.shape as [string | number, string | number, number];
    const body = new Graph(g.scope('chunk', () => g.scopeName));
    const bodyInput = (name: string, like: { dtype: 'float32' | 'int64' }, shape: readonly (string | number)[]) =>
      body.input(`${body.scopeName}/${name}`, like.dtype, shape);
    const x = bodyInput('hidden', { dtype: 'float32' }, [rows, hidden]);
    const target = bodyInput('target', { dtype: 'int64' }, [rows]);
    const count = reshape(body, [bodyInput('counted', { dtype: 'float32' }, [rows])], { shape: [rows, 1] });

    const z = gemm(body, [x, w!], { transB: true });
    const m = maxOfLast(body, z);
    const e = exp(body, [sub(body, [z, m])]);
    const s = reduceSum(body, [e], { axes: [-1] });
    const targetRow = gatherRows(body, [w!, target]);
    const targetLogit = reduceSum(body, [mul(body, [x, targetRow])], { axes: [-1] });
    const loss = mul(body, [count, sub(body, [add(body, [m, log(body, [s])]), targetLogit])]);
    body.output(`${body.scopeName}/loss`, reshape(body, [loss], { shape: [rows] }));
    if (withGradient) {
      const softmaxRow = mul(body, [gemm(body, [e, w!], {}), reciprocal(body, [s])]);
      body.output(`${body.scopeName}/gradient`, mul(body, [count, sub(body, [softmaxRow, targetRow])]));
    }

    const outputs = [{ shape: [chunks, rows] }, ...(withGradient ? [{ shape: h!.shape }] : [])];
    const [tokenLoss, ...saved] = g.nodeWithOutputs('Scan', [h!, targets!, counted!], outputs, {
      attributes: { body: { graph: body }, num_scan_inputs: { int: 3 } },
    });
    return [tokenLoss!, ...saved];
  },
  backward: (g, { inputs: [h], saved: [dh], dy }) => [
    () => {
      assert(dh !== undefined, 'the loss was built without its gradient');
      return mul(g, [dh, reshape(g, [dy], { shape: [...h!.shape.slice(0, 2), 1] })]);
    },
    null,
    null,
    null,
  ],
});
