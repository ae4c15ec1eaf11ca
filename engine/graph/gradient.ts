/** Differentiates a recorded tape in reverse mode. */
import { assert } from '../problem.ts';
import { sameShape } from './dim.ts';
import type { Graph, TapeEntry } from './graph.ts';
import type { Value } from './node.ts';
import { add } from './ops/elementwise.ts';
import { reduceSum } from './ops/reduce.ts';
import { reshape } from './ops/shape.ts';

/**
 * Builds the gradients of `output` (weighted by `seed`, of its shape) with respect to `wrt`, or null where it does not depend
 * on one. Nothing is built for a value that none of `wrt` reaches, such as frozen weights and the blocks below the lowest
 * adapter.
 */
export function gradients(
  g: Graph,
  tape: readonly TapeEntry[],
  output: Value,
  seed: Value,
  wrt: readonly Value[],
): (Value | null)[] {
  const reached = new Set<Value>(wrt);
  for (const { inputs, output: y } of tape) if (inputs.some((input) => reached.has(input))) reached.add(y);

  const sums = new Map<Value, Value>([[output, seed]]);
  for (const entry of tape.toReversed()) {
    const dy = sums.get(entry.output);
    if (dy === undefined || !reached.has(entry.output)) continue;
    g.scope(`gradient/${entry.scope}`, () => {
      const needed = entry.inputs.map((input) => reached.has(input));
      const found = entry.backward(dy, needed);
      assert(found.length === entry.inputs.length, `${entry.name} has another number of gradients than inputs`);
      entry.inputs.forEach((input, i) => {
        const gradient = found[i];
        if (gradient === null || gradient === undefined) return;
        const place = `gradient of input ${i} (${input.name}) of ${entry.name} at ${entry.scope}`;
        assert(gradient.dtype === input.dtype, `${place} is ${gradient.dtype}, not ${input.dtype}`);
        const summed = sumBroadcast(g, gradient, input);
        assert(sameShape(summed.shape, input.shape), `${place} is [${summed.shape.join()}], not [${input.shape.join()}]`);
        const sum = sums.get(input);
        sums.set(input, sum === undefined ? summed : add(g, [sum, summed]));
      });
    });
  }
  return wrt.map((value) => sums.get(value) ?? null);
}

/** Sums a gradient over the copies of an input that broadcasting repeated. */
function sumBroadcast(g: Graph, gradient: Value, input: Value): Value {
  if (sameShape(gradient.shape, input.shape)) return gradient;
  const extra = gradient.shape.length - input.shape.length;
  const axes = gradient.shape.flatMap((dim, i) => (i < extra || (input.shape[i - extra] === 1 && dim !== 1) ? [i] : []));
  const summed = axes.length === 0 ? gradient : reduceSum(g, [gradient], { axes });
  return extra <= 0 ? summed : reshape(g, [summed], { shape: input.shape });
}
