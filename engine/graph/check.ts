/** Checks a whole graph: every node must read values that exist and have the results that the rule of its type gives. */
import { assert } from '../problem.ts';
import { sameShape } from './dim.ts';
import type { Graph } from './graph.ts';
import type { GraphParts, Node, Value } from './node.ts';
import { nodeType, outputsOf } from './nodes/index.ts';

/** Checks the nodes in `order`, by default the order in which they were built. An error names the first wrong node. */
export function checkGraph(graph: Graph, order: readonly Node[] = graph.nodes): void {
  checkParts(graph, order, new Set(), new Set());
}

function checkParts(
  graph: GraphParts & Partial<Pick<Graph, 'known'>>,
  order: readonly Node[],
  outer: ReadonlySet<Value>,
  names: Set<string>,
): void {
  const there = new Set(outer);
  const declare = (value: Value): void => {
    assert(!names.has(value.name), `two values are called ${value.name}`);
    names.add(value.name);
    there.add(value);
  };
  graph.inputs.forEach(declare);
  for (const { value } of [...graph.weights.values(), ...graph.constants.values()]) declare(value);
  for (const node of order) {
    for (const input of node.inputs) assert(there.has(input), `${node.name} reads ${input.name}, which is not there`);
    for (const attribute of Object.values(node.attributes))
      if ('graph' in attribute) checkParts(attribute.graph, attribute.graph.nodes, there, names);
    checkNode(node, (value) => graph.known?.(value) ?? null);
    node.outputs.forEach(declare);
  }
  for (const [name, value] of graph.outputs) assert(there.has(value), `output ${name} is not there`);
}

function checkNode(
  { type, domain, name, inputs, outputs, attributes }: Node,
  known: (value: Value) => Value['shape'] | null,
): void {
  assert(nodeType(type).domain === domain, `${name} is no ${type} of '${domain}'`);
  const stated = outputs.map(({ shape }) => shape);
  const found = outputsOf(type, { inputs, attributes, stated, known });
  assert(found.length === outputs.length, `${name} has ${outputs.length} results and should have ${found.length}`);
  for (const [i, { dtype, shape }] of found.entries()) {
    const own = outputs[i]!;
    assert(
      own.dtype === dtype && sameShape(own.shape, shape),
      `${own.name} is ${own.dtype} [${own.shape.join()}] and should be ${dtype} [${shape.join()}]`,
    );
  }
}
