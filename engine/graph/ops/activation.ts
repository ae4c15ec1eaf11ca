/** Defines the activation functions of feed-forward layers. Their backward reads the input only and computes the rest again. */
import { defineOp, type PlainOp } from '../op.ts';
import { add, mul, sigmoid, sub } from './elementwise.ts';

// y = x ∘ σ(x)        dx = dy ∘ (σ(x) + y ∘ (1 - σ(x)))
// QuickGelu with alpha 1 is this function in one node; σ is computed again in the backward rather than kept.
export const silu: PlainOp = defineOp({
  name: 'Silu',
  forward: (g, [x]) => [g.node('QuickGelu', [x!], { alpha: { float: 1 } })],
  backward: (g, { inputs: [x], output: y, dy }) => [
    () => {
      const s = sigmoid(g, [x!]);
      return mul(g, [dy, add(g, [s, mul(g, [y, sub(g, [g.scalar(1), s])])])]);
    },
  ],
});

// y = x Φ(x), Φ(x) = (1 + erf(x / √2)) / 2        dx = dy ∘ (Φ(x) + x φ(x)), φ(x) = exp(-x² / 2) / √(2π)
export const gelu: PlainOp = defineOp({
  name: 'Gelu',
  forward: (g, [x]) => [g.node('Gelu', [x!])],
  backward: (g, { inputs: [x], dy }) => [
    () => {
      const erf = g.node('Erf', [mul(g, [x!, g.scalar(Math.SQRT1_2)])]);
      const below = add(g, [mul(g, [erf, g.scalar(0.5)]), g.scalar(0.5)]);
      const density = g.node('Exp', [mul(g, [mul(g, [x!, x!]), g.scalar(-0.5)])]);
      return mul(g, [dy, add(g, [below, mul(g, [mul(g, [x!, density]), g.scalar(1 / Math.sqrt(2 * Math.PI))])])]);
    },
  ],
});

// The approximation by tanh (Hendrycks and Gimpel 2016): with u = √(2/π) (x + 0.044715 x³) and t = tanh(u)
//   y = x (1 + t) / 2        dx = dy ∘ ((1 + t) / 2 + x (1 - t²) u' / 2), u' = √(2/π) (1 + 3 · 0.044715 x²)
export const geluTanh: PlainOp = defineOp({
  name: 'GeluTanh',
  forward: (g, [x]) => [g.node('FastGelu', [x!])],
  backward: (g, { inputs: [x], dy }) => [
    () => {
      const root = Math.sqrt(2 / Math.PI);
      const square = mul(g, [x!, x!]);
      const u = mul(g, [x!, add(g, [mul(g, [square, g.scalar(root * 0.044715)]), g.scalar(root)])]);
      const slope = add(g, [mul(g, [square, g.scalar(root * 3 * 0.044715)]), g.scalar(root)]);
      const t = tanh(g, [u]);
      const plain = add(g, [t, g.scalar(1)]);
      const bent = mul(g, [mul(g, [x!, slope]), sub(g, [g.scalar(1), mul(g, [t, t])])]);
      return mul(g, [mul(g, [dy, g.scalar(0.5)]), add(g, [plain, bent])]);
    },
  ],
});

// y = max(x, 0)        dx = dy where y > 0
export const relu: PlainOp = defineOp({
  name: 'Relu',
  forward: (g, [x]) => [g.node('Relu', [x!])],
  backward: (g, { output: y, dy }) => [() => mul(g, [dy, g.node('Sign', [y])])],
});

// y = tanh(x)        dx = dy ∘ (1 - y²)
export const tanh: PlainOp = defineOp({
  name: 'Tanh',
  forward: (g, [x]) => [g.node('Tanh', [x!])],
  backward: (g, { output: y, dy }) => [() => mul(g, [dy, sub(g, [g.scalar(1), mul(g, [y, y])])])],
});
