/** Defines operations that move elements and compute nothing. */
import { assert } from '../../problem.ts';
import { positiveAxis, type Shape } from '../dim.ts';
import { defineOp, type Op, type PlainOp } from '../op.ts';

// y = x in another shape        dx = dy in the shape of x
export const reshape: Op<{ readonly shape: Shape }> = defineOp<{ readonly shape: Shape }>({
  name: 'Reshape',
  forward(g, [x], { shape }) {
    const numbers = shape.map((dim) => (typeof dim === 'number' ? dim : -1));
    // One named size is what remains: -1. More of them are read from the `dim.` inputs.
    const isOne = numbers.filter((number) => number === -1).length === 1;
    const target = isOne ? g.constant('int64', [shape.length], numbers) : g.shapeVector(shape);
    // Rows and columns laid end to end have a name that nothing says but this.
    return [g.node('Reshape', [x!, target], {}, shape)];
  },
  backward: (g, { inputs: [x], dy }) => [() => reshape(g, [dy], { shape: x!.shape })],
});

// y[i…] = x[permuted i…]        dx = dy, permuted back
export const transpose: Op<{ readonly permutation: readonly number[] }> = defineOp<{ readonly permutation: readonly number[] }>(
  {
    name: 'Transpose',
    forward: (g, [x], { permutation }) => [g.node('Transpose', [x!], { perm: { ints: permutation } })],
    backward: (g, { attributes: { permutation }, dy }) => [
      () => transpose(g, [dy], { permutation: permutation.map((_, axis) => permutation.indexOf(axis)) }),
    ],
  },
);

// y = x₀ x₁ … along an axis        no gradient is asked of it: it joins keys and values of layers
export const concat: Op<{ readonly axis: number }> = defineOp<{ readonly axis: number }>({
  name: 'Concat',
  forward: (g, inputs, { axis }) => [g.node('Concat', inputs, { axis: { int: positiveAxis(inputs[0]!.shape, axis) } })],
  backward: (_, { inputs }) => inputs.map(() => null),
});

// y[i] = x[rows[i]] for x [n, …] and int64 rows [m]        dx = Σ over i of dy[i] at rows[i]
export const gatherRows: PlainOp = defineOp({
  name: 'Gather',
  forward(g, [x, rows]) {
    assert(rows!.shape.length === 1, `${g.scopeName}: rows must be a vector`);
    return [g.node('Gather', [x!, rows!], { axis: { int: 0 } })];
  },
  backward: (g, { inputs: [x, rows], dy }) => [
    () => {
      const zeros = g.node('Expand', [g.scalar(0), g.shapeVector(x!.shape)]);
      const indices = reshape(g, [rows!], { shape: [rows!.shape[0]!, 1] });
      // Several rows may be the same: they add up.
      return g.node('ScatterND', [zeros, indices, dy], { reduction: { string: 'add' } });
    },
    null,
  ],
});

// y = x[…, start : end] along the last axis        dx = dy with zeros where the rest was
export const sliceLast: Op<{ readonly start: number; readonly end: number }> = defineOp<{
  readonly start: number;
  readonly end: number;
}>({
  name: 'Slice',
  forward(g, [x], { start, end }) {
    const vector = (value: number) => g.constant('int64', [1], [value]);
    const last = x!.shape.length - 1;
    return [g.node('Slice', [x!, vector(start), vector(end), vector(last)])];
  },
  backward: (g, { inputs: [x], attributes: { start, end }, dy }) => [
    () => {
      const rank = x!.shape.length;
      const after = (x!.shape.at(-1) as number) - end;
      const pads = Array.from({ length: 2 * rank }, (_, i) => (i === rank - 1 ? start : i === 2 * rank - 1 ? after : 0));
      return g.node('Pad', [dy, g.constant('int64', [2 * rank], pads)]);
    },
  ],
});
