/**
 * The order of nodes in the file. ONNX Runtime walks depth first from the leaves, the last leaf of the file first, and takes file order as
 * priority: so the order in the file decides how much memory is alive at once.
 */
import type { Graph, Node, Value } from './graph.ts';

/** Nodes of frozen weights alone first, then the rest as built, then the leaves with the earliest available last; unread nodes are left out. */
export function fileOrder(graph: Graph): Node[] {
  const frozen = new Set<Value>();
  for (const { value } of graph.weights.values()) frozen.add(value);
  for (const { value } of graph.constants.values()) frozen.add(value);
  const live = liveNodes(graph);
  const consumed = new Set<Value>(live.flatMap(readBy));
  const weightOnly: Node[] = [];
  const inner: Node[] = [];
  const leaves: Node[] = [];
  for (const node of live) {
    if (readBy(node).every((input) => frozen.has(input))) {
      weightOnly.push(node);
      for (const output of node.outputs) frozen.add(output);
    } else if (node.outputs.some((output) => consumed.has(output))) inner.push(node);
    else leaves.push(node);
  }
  return [...weightOnly, ...inner, ...leaves.reverse()];
}

/** What a node reads: its inputs, and what the bodies of its loops take from the graph around them. */
function readBy(node: Node): Value[] {
  const ofBodies = Object.values(node.attributes).flatMap((attribute) => {
    if (!('graph' in attribute)) return [];
    const { nodes, inputs, outputs, constants } = attribute.graph;
    const own = new Set<Value>([...inputs, ...nodes.flatMap((inner) => inner.outputs), ...outputs.values()]);
    for (const { value } of constants.values()) own.add(value);
    return nodes.flatMap(readBy).filter((value) => !own.has(value));
  });
  return [...node.inputs, ...ofBodies];
}

/** Nodes some output depends on: the end of a recomputed block, for one, is never read. */
function liveNodes({ nodes, outputs }: Graph): Node[] {
  const read = new Set<Value>(outputs.values());
  const live = nodes.toReversed().filter((node) => {
    const isRead = node.outputs.some((output) => read.has(output));
    if (isRead) for (const input of readBy(node)) read.add(input);
    return isRead;
  });
  return live.reverse();
}
