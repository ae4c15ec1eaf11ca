/**
 * Orders the nodes in the file. ONNX Runtime walks depth first from the leaves, the last leaf of the file first, with file
 * order as priority, so the order in the file decides how much memory is alive at once.
 */
import { valuesRead, type GraphParts, type Node, type Value } from './node.ts';

/**
 * Returns the nodes in the order of the file: those that depend on frozen weights alone, then the rest as built, then the
 * leaves with the earliest available last. Unread nodes are left out.
 */
export function fileOrder(graph: GraphParts): Node[] {
  const frozen = new Set<Value>();
  for (const { value } of graph.weights.values()) frozen.add(value);
  for (const { value } of graph.constants.values()) frozen.add(value);
  const live = liveNodes(graph);
  const consumed = new Set<Value>(live.flatMap(valuesRead));
  const weightOnly: Node[] = [];
  const inner: Node[] = [];
  const leaves: Node[] = [];
  for (const node of live) {
    if (valuesRead(node).every((input) => frozen.has(input))) {
      weightOnly.push(node);
      for (const output of node.outputs) frozen.add(output);
    } else if (node.outputs.some((output) => consumed.has(output))) inner.push(node);
    else leaves.push(node);
  }
  return [...weightOnly, ...inner, ...leaves.reverse()];
}

/** Lists the nodes on which some output depends; the end of a recomputed block, for example, is never read. */
function liveNodes({ nodes, outputs }: GraphParts): Node[] {
  const read = new Set<Value>(outputs.values());
  const live = nodes.toReversed().filter((node) => {
    const isRead = node.outputs.some((output) => read.has(output));
    if (isRead) for (const input of valuesRead(node)) read.add(input);
    return isRead;
  });
  return live.reverse();
}
