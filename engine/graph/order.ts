/**
 * The order of nodes in the file. ONNX Runtime walks depth first from the leaves, the last leaf of the file first, and takes file order as
 * priority: so the order in the file decides how much memory is alive at once.
 */
import type { Graph, Node, Value } from './graph.ts';

/** Nodes of frozen weights alone first, then the rest as built, then the leaves with the earliest available last. */
export function fileOrder(graph: Graph): Node[] {
  const frozen = new Set<Value>();
  for (const { value } of graph.weights.values()) frozen.add(value);
  for (const { value } of graph.constants.values()) frozen.add(value);
  const consumed = new Set<Value>(graph.nodes.flatMap((node) => node.inputs));
  const weightOnly: Node[] = [];
  const inner: Node[] = [];
  const leaves: Node[] = [];
  for (const node of graph.nodes) {
    if (node.inputs.every((input) => frozen.has(input))) {
      weightOnly.push(node);
      for (const output of node.outputs) frozen.add(output);
    } else if (node.outputs.some((output) => consumed.has(output))) inner.push(node);
    else leaves.push(node);
  }
  return [...weightOnly, ...inner, ...leaves.reverse()];
}
