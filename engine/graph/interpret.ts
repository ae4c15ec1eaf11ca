/**
 * Interprets a graph node by node in float64. It is slow and plain, and tests compare the runtime and the gradient rules with
 * it.
 */
import { assert } from '../problem.ts';
import { rounded } from './dtype.ts';
import type { GraphParts, Node, Value } from './node.ts';
import { nodeType } from './nodes/index.ts';
import { size, type Tensor } from './nodes/tensor.ts';

/** Computes the values of all outputs. `outer` holds the values that a subgraph may read from the graph around it. */
export function interpret(
  graph: GraphParts,
  feeds: Readonly<Record<string, Tensor>>,
  outer: ReadonlyMap<Value, Tensor> = new Map(),
): Record<string, Tensor> {
  const known = new Map(outer);
  for (const input of graph.inputs) {
    const feed = feeds[input.name];
    assert(feed !== undefined, `no value for input ${input.name}`);
    known.set(input, { dims: feed.dims, data: rounded(input.dtype, feed.data) });
  }
  for (const { value, data } of graph.constants.values())
    known.set(value, { dims: value.shape as number[], data: rounded(value.dtype, Float64Array.from(data)) });
  const run = (body: GraphParts, inputs: readonly Tensor[]): readonly Tensor[] =>
    Object.values(interpret(body, Object.fromEntries(body.inputs.map(({ name }, i) => [name, inputs[i]!])), known));
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => {
      const tensor = known.get(input);
      assert(tensor !== undefined, `${node.name} reads ${input.name} before it is there`);
      return tensor;
    });
    const { kernel } = nodeType(node.type);
    assert(kernel !== null, `no kernel computes a ${node.type} here`);
    const outputs = kernel(inputs, node, run);
    node.outputs.forEach((output, i) => known.set(output, checked(node, output, outputs[i]!)));
  }
  return Object.fromEntries([...graph.outputs].map(([name, value]) => [name, known.get(value)!]));
}

/** Checks that a result has the declared shape, and rounds its numbers to the declared type. */
function checked(node: Node, { shape, dtype }: Value, { dims, data }: Tensor): Tensor {
  const fits = shape.length === dims.length && shape.every((dim, i) => typeof dim !== 'number' || dim === dims[i]);
  assert(fits, `${node.name} promised [${shape.join()}] and gave [${dims.join()}]`);
  assert(size(dims) === data.length, `${node.name}: ${data.length} elements for [${dims.join()}]`);
  return { dims, data: rounded(dtype, data) };
}
