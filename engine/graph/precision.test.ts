/** What a graph in half precision keeps, casts and computes. */
import { expect, test } from 'vitest';
import { checkGraph } from './check.ts';
import { Graph } from './graph.ts';
import type { Value } from './node.ts';
import { interpret } from './interpret.ts';
import { encodeModel } from './onnx.ts';
import { add, mul } from './ops/elementwise.ts';
import { gemm } from './ops/matmul.ts';
import { widened } from './ops/packed.ts';
import { softmax } from './ops/softmax.ts';
import { inPrecision } from './precision.ts';

const typesOf = (graph: Graph): string[] => graph.nodes.map(({ type, outputs: [y] }) => `${type} ${y!.dtype}`);
const built = (build: (g: Graph, x: Value) => Value): Graph => {
  const g = new Graph();
  g.output('y', build(g, g.input('x', 'float32', ['n', 4])));
  return g;
};

test('in float32 a graph is what it was', () => {
  const graph = built((g, x) => softmax(g, [x]));
  expect(inPrecision(graph, 'float32')).toBe(graph);
});

test('products are in half precision, softmax is an island, and what goes in and out is float32', () => {
  const graph = built((g, x) => {
    const w = g.weight('w', [4, 4], { path: 'w', offset: 0, length: 64 });
    return add(g, [softmax(g, [gemm(g, [x, w], {})]), g.scalar(1)]);
  });
  const halved = inPrecision(graph, 'float16');
  checkGraph(halved);
  expect(halved.inputs.map(({ dtype }) => dtype)).toEqual(['float32']);
  expect(typesOf(halved)).toEqual([
    ...['Cast float16', 'Cast float16', 'Gemm float16'],
    ...['Cast float32', 'Softmax float32'],
    ...['Cast float16', 'Add float16', 'Cast float32'],
  ]);
  // Other islands are an argument.
  const whole = inPrecision(graph, 'float16', () => true);
  expect(typesOf(whole)).toEqual(typesOf(graph));
});

test('a weight that is stored in half precision is read as it lies', () => {
  const graph = built((g, x) =>
    gemm(g, [x, widened(g, g.weight('w', [4, 4], { path: 'w', offset: 0, length: 32 }, 'float16'))], {}),
  );
  expect(typesOf(graph)).toEqual(['Cast float32', 'Gemm float32']);
  expect(typesOf(inPrecision(graph, 'float16'))).toEqual(['Cast float16', 'Gemm float16', 'Cast float32']);
});

test('numbers are rounded as they are written and computed', () => {
  const graph = built((g, x) => mul(g, [x, g.scalar(1.0009765625 / 3)]));
  const x = { dims: [1, 4], data: Float64Array.of(1, 2049, 1e-9, 70000) };
  expect([...interpret(inPrecision(graph, 'float16'), { x })['y']!.data]).toEqual([0.333740234375, 683.5, 0, Infinity]);
  const constants = [...inPrecision(graph, 'bfloat16').constants.values()];
  expect(constants.map(({ value }) => value.dtype)).toEqual(['bfloat16']);
  // 0.333984375 is 0x3eab in bfloat16.
  const bytes = Buffer.from(encodeModel(inPrecision(graph, 'bfloat16')));
  expect(bytes.includes(Buffer.from([0xab, 0x3e]))).toBe(true);
});

test('what must count further than half precision is an island', () => {
  const g = new Graph();
  const ids = g.input('ids', 'int64', [2]);
  const halves = g.float32(() => {
    const number = g.node('Cast', [ids], { to: { int: 1 } });
    return g.node('Floor', [g.node('Div', [number, g.scalar(2)])]);
  });
  g.output(
    'halves',
    g.float32(() => g.node('Cast', [halves], { to: { int: 6 } })),
  );
  g.output('scaled', mul(g, [halves, g.input('scale', 'float32', [])]));
  const feeds = { ids: { dims: [2], data: Float64Array.of(49151, 4099) }, scale: { dims: [], data: Float64Array.of(0.5) } };
  const halved = inPrecision(g, 'float16');
  checkGraph(halved);
  const { halves: exact, scaled } = interpret(halved, feeds);
  expect([...exact!.data]).toEqual([24575, 2049]);
  expect([...scaled!.data]).toEqual([12288, 1024]);
});
