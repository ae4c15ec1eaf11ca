/** Defines elementwise operations. Gradients of broadcast inputs are summed in `gradient.ts`, not here. */
import { defineOp, type Op, type PlainOp } from '../op.ts';

// y = a + b        da = dy        db = dy
export const add: PlainOp = defineOp({
  name: 'Add',
  forward: (g, inputs) => [g.node('Add', inputs)],
  backward: (_, { dy }) => [() => dy, () => dy],
});

// y = a - b        da = dy        db = -dy
export const sub: PlainOp = defineOp({
  name: 'Sub',
  forward: (g, inputs) => [g.node('Sub', inputs)],
  backward: (g, { dy }) => [() => dy, () => neg(g, [dy])],
});

// y = a ∘ b        da = dy ∘ b        db = dy ∘ a
export const mul: PlainOp = defineOp({
  name: 'Mul',
  forward: (g, inputs) => [g.node('Mul', inputs)],
  backward: (g, { inputs: [a, b], dy }) => [() => mul(g, [dy, b!]), () => mul(g, [dy, a!])],
});

// y = -x        dx = -dy
export const neg: PlainOp = defineOp({
  name: 'Neg',
  forward: (g, inputs) => [g.node('Neg', inputs)],
  backward: (g, { dy }) => [() => neg(g, [dy])],
});

// y = exp(x)        dx = dy ∘ y
export const exp: PlainOp = defineOp({
  name: 'Exp',
  forward: (g, inputs) => [g.node('Exp', inputs)],
  backward: (g, { output: y, dy }) => [() => mul(g, [dy, y])],
});

// y = log(x)        dx = dy / x
export const log: PlainOp = defineOp({
  name: 'Log',
  forward: (g, inputs) => [g.node('Log', inputs)],
  backward: (g, { inputs: [x], dy }) => [() => mul(g, [dy, reciprocal(g, [x!])])],
});

// y = 1 / x        dx = -dy ∘ y ∘ y
export const reciprocal: PlainOp = defineOp({
  name: 'Reciprocal',
  forward: (g, inputs) => [g.node('Reciprocal', inputs)],
  backward: (g, { output: y, dy }) => [() => neg(g, [mul(g, [dy, mul(g, [y, y])])])],
});

// y = √x        dx = dy / (2 y)
export const sqrt: PlainOp = defineOp({
  name: 'Sqrt',
  forward: (g, inputs) => [g.node('Sqrt', inputs)],
  backward: (g, { output: y, dy }) => [() => mul(g, [mul(g, [dy, g.scalar(0.5)]), reciprocal(g, [y])])],
});

// y = σ(x)        dx = dy ∘ y ∘ (1 - y)
export const sigmoid: PlainOp = defineOp({
  name: 'Sigmoid',
  forward: (g, inputs) => [g.node('Sigmoid', inputs)],
  backward: (g, { output: y, dy }) => [() => mul(g, [dy, mul(g, [y, sub(g, [g.scalar(1), y])])])],
});

// y = x held between two bounds        dx = dy where x is between them
export const clip: Op<{ readonly low: number; readonly high: number }> = defineOp<{
  readonly low: number;
  readonly high: number;
}>({
  name: 'Clip',
  forward: (g, [x], { low, high }) => [g.node('Clip', [x!, g.scalar(low), g.scalar(high)])],
  backward: (g, { inputs: [x], output: y, dy }) => [
    () => {
      const inside = g.node('Equal', [x!, y]);
      return g.node('Where', [inside, dy, g.scalar(0)]);
    },
  ],
});
