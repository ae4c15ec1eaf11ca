/** Recomputes cheap results: the backward gets copies of their nodes, so that they need not be kept in memory. */
import type { Graph } from './graph.ts';
import type { Node, Value } from './node.ts';
import { nodeType } from './nodes/index.ts';

/**
 * Adds copies of cheap forward nodes to the backward. The first `forward` nodes of the graph are its forward. A result that the
 * backward reads is computed again if its node is cheap and all its inputs are available anyway: an input of the graph, a
 * weight, or a value the backward reads itself. Then forgetting it costs one pass over memory and keeps nothing longer. The
 * norm before a projection and the product of gate and up are such results; a sum of the residual stream is not.
 */
export function rematerialize(g: Graph, forward: number): void {
  const producers = new Map<Value, Node>();
  for (const node of g.nodes.slice(0, forward)) for (const output of node.outputs) producers.set(output, node);
  const backward = g.nodes.splice(forward);
  const read = new Set<Value>(backward.flatMap(({ inputs }) => inputs.filter((input) => producers.has(input))));
  const kept = new Set<Value>(g.outputs.values());

  const decided = new Map<Value, boolean>();
  const isCheap = (value: Value): boolean => {
    const known = decided.get(value);
    if (known !== undefined) return known;
    const node = producers.get(value)!;
    const cheap =
      !kept.has(value) &&
      nodeType(node.type).cost !== 'dear' &&
      node.outputs.length === 1 &&
      node.inputs.every((input) => !producers.has(input) || read.has(input) || isCheap(input));
    decided.set(value, cheap);
    return cheap;
  };

  const copies = new Map<Value, Value>();
  const again = (value: Value): Value => {
    if (!producers.has(value) || !isCheap(value)) return value;
    const known = copies.get(value);
    if (known !== undefined) return known;
    const node = producers.get(value)!;
    const [copy] = g.copy(node, { inputs: node.inputs.map(again), prefix: 'again/' });
    copies.set(value, copy!);
    return copy!;
  };
  for (const node of backward) {
    const inputs = node.inputs.map(again);
    g.nodes.push({ ...node, inputs });
  }
}
