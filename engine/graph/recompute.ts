/** Activation checkpointing: a part of the graph is built twice, so that its inside need not be kept until the backward. */
import type { Graph, Value } from './graph.ts';
import { gradients } from './gradient.ts';

/**
 * Builds `build()`, which may depend on `inputs` only as far as gradients go. Its backward builds it again from the same inputs
 * and differentiates the copy, so between the two only `inputs` stay in memory.
 */
export function recompute(g: Graph, inputs: readonly Value[], build: () => Value): Value {
  const { result: output } = g.record(build);
  g.remember({
    name: 'Recompute',
    inputs,
    output,
    backward(dy, needed) {
      const { result, tape } = g.record(() => g.scope('again', build));
      const wanted = inputs.filter((_, i) => needed[i]);
      const found = gradients(g, tape, result, dy, wanted);
      let next = 0;
      return needed.map((isNeeded) => (isNeeded ? (found[next++] ?? null) : null));
    },
  });
  return output;
}
