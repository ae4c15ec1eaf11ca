/** Defines RMS norm (Zhang and Sennrich 2019) and layer norm (Ba et al. 2016) over the last axis. */
import type { Value } from '../node.ts';
import { defineOp, type Op } from '../op.ts';
import { add, mul, reciprocal, sqrt, sub } from './elementwise.ts';
import { meanOfLast } from './reduce.ts';

// n = x / √(mean(x²) + ε)        y = n ∘ w
// With dn = dy ∘ w and ρ = 1 / √(mean(x²) + ε):   dx = ρ ∘ (dn - n ∘ mean(dn ∘ n))        dw = Σ dy ∘ n
// ρ is computed again: the operator's second output means different things on different providers.
export const rmsNorm: Op<{ readonly epsilon: number }> = defineOp<{ readonly epsilon: number }>({
  name: 'RmsNorm',
  forward: (g, [x, w], { epsilon }) => [
    g.node('SimplifiedLayerNormalization', [x!, w!], { axis: { int: -1 }, epsilon: { float: epsilon } }),
  ],
  backward(g, { inputs: [x, w], attributes: { epsilon }, dy }) {
    const inFloat32 = (build: () => Value) => () => g.float32(build);
    const inverseRms = () => reciprocal(g, [sqrt(g, [add(g, [meanOfLast(g, [mul(g, [x!, x!])]), g.scalar(epsilon)])])]);
    return [
      inFloat32(() => {
        const rho = inverseRms();
        const n = mul(g, [x!, rho]);
        const dn = mul(g, [dy, w!]);
        return mul(g, [rho, sub(g, [dn, mul(g, [n, meanOfLast(g, [mul(g, [dn, n])])])])]);
      }),
      inFloat32(() => mul(g, [dy, mul(g, [x!, inverseRms()])])),
    ];
  },
});

// n = (x - mean(x)) / √(var(x) + ε)        y = n ∘ w + b
// With dn = dy ∘ w and ρ = 1 / √(var(x) + ε):   dx = ρ ∘ (dn - mean(dn) - n ∘ mean(dn ∘ n))        dw = Σ dy ∘ n        db = Σ dy
export const layerNorm: Op<{ readonly epsilon: number }> = defineOp<{ readonly epsilon: number }>({
  name: 'LayerNorm',
  forward: (g, inputs, { epsilon }) => [
    g.node('LayerNormalization', inputs, { axis: { int: -1 }, epsilon: { float: epsilon } }),
  ],
  backward(g, { inputs: [x, w, b], attributes: { epsilon }, dy }) {
    const inFloat32 = (build: () => Value) => () => g.float32(build);
    const standardized = () => {
      const centred = sub(g, [x!, meanOfLast(g, [x!])]);
      const variance = meanOfLast(g, [mul(g, [centred, centred])]);
      const rho = reciprocal(g, [sqrt(g, [add(g, [variance, g.scalar(epsilon)])])]);
      return { n: mul(g, [centred, rho]), rho };
    };
    return [
      inFloat32(() => {
        const { n, rho } = standardized();
        const dn = mul(g, [dy, w!]);
        const along = mul(g, [n, meanOfLast(g, [mul(g, [dn, n])])]);
        return mul(g, [rho, sub(g, [sub(g, [dn, meanOfLast(g, [dn])]), along])]);
      }),
      inFloat32(() => mul(g, [dy, standardized().n])),
      ...(b === undefined ? [] : [() => dy]),
    ];
  },
});
