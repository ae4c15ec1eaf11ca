/**
 * Implements gradient checkpointing: a part of the graph is built twice, so that its inner values need not be kept until the
 * backward.
 */
import type { Graph } from './graph.ts';
import type { Value } from './node.ts';
import { gradients } from './gradient.ts';

/**
 * Runs `build` and returns its value. The backward runs `build` again on the values it read from outside and differentiates the
 * copy, so only those values stay in memory in between.
 */
export function recompute(g: Graph, build: () => Value): Value {
  const { result: output, tape } = g.record(build);
  const inside = new Set(tape.map((entry) => entry.output));
  const inputs = [...new Set(tape.flatMap((entry) => entry.inputs))].filter((value) => !inside.has(value));
  g.remember({
    name: 'Recompute',
    inputs,
    output,
    backward(dy, needed) {
      const again = g.record(() => g.scope('again', build));
      const wanted = inputs.filter((_, i) => needed[i]);
      const found = gradients(g, again.tape, again.result, dy, wanted);
      let next = 0;
      return needed.map((isNeeded) => (isNeeded ? (found[next++] ?? null) : null));
    },
  });
  return output;
}
