/** Whole graphs of training after every pass, and what a wrong node is told. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readAdapter } from '../adapters/folder.ts';
import { openModel, quantizedModel } from '../models/open.ts';
import type { BaseQuantization } from '../models/weights.ts';
import { buildStep } from '../training/step-graph.ts';
import { checkGraph } from './check.ts';
import { Graph } from './graph.ts';
import { lowered } from './lower.ts';
import { fileOrder } from './order.ts';
import { inPrecision } from './precision.ts';

const sizes = { batch: 2, time: 8, keys: 8, tokens: 16, chunks: 2, chunkRows: 5, rows: 10 };

describe.each(['llama-tied', 'gemma3', 'gpt2', 'phi3', 'lora-dora-all', 'lora-head-embed'])('%s', (name) => {
  const folder = join(import.meta.dirname, '../golden', name);
  const model = openModel(join(folder, 'model'));
  const { shape } = readAdapter(join(folder, 'adapter'), model);

  test.each<BaseQuantization>(['none', '4bit'])('a step with a base in %s', (quantization) => {
    const { spec, weights } = quantizedModel(model, quantization);
    const options = { recompute: 2, attentionBlocks: 2, dropout: 0.1, neftuneNoiseAlpha: 5 };
    const graph = buildStep(spec, weights.locations(''), shape, 'gradient', options);
    checkGraph(graph);
    checkGraph(graph, fileOrder(graph));
    const halved = inPrecision(graph, 'float16');
    checkGraph(halved);
    checkGraph(halved, fileOrder(halved));
    // The loop of the loss is as it was; the products of the blocks are not.
    const ofType = (type: string) => halved.nodes.filter((node) => node.type === type).flatMap(({ outputs }) => outputs);
    expect(new Set(ofType('Gemm').map(({ dtype }) => dtype))).toEqual(new Set(['float16']));
    expect(new Set(ofType('Scan').map(({ dtype }) => dtype))).toEqual(new Set(['float32']));
    expect([...halved.outputs.values()].map(({ dtype }) => dtype)).toEqual(
      [...graph.outputs.values()].map(({ dtype }) => dtype),
    );
    checkGraph(lowered(buildStep(spec, weights.locations(''), shape, 'gradient', { ...options, provider: 'webgpu' }), sizes));
  });
});

describe('a node that is wrong is named', () => {
  const withNode = (change: (graph: Graph) => void): (() => void) => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['n', 4]);
    graph.output(
      'y',
      graph.scope('block.3', () => graph.node('Exp', [x])),
    );
    change(graph);
    return () => checkGraph(graph);
  };
  const changed = (graph: Graph, by: Partial<Graph['nodes'][number]>): void => {
    graph.nodes[0] = { ...graph.nodes[0]!, ...by };
  };
  test('as it is built it is right', () => expect(withNode(() => {})).not.toThrow());
  test('its shape', () =>
    expect(
      withNode((graph) => changed(graph, { outputs: [{ name: 'block.3/Exp', dtype: 'float32', shape: ['n', 5] }] })),
    ).toThrow('result 0 of a Exp of [n,4] is [n,4], not [n,5]'));
  test('its type', () =>
    expect(withNode((graph) => changed(graph, { outputs: [{ name: 'y', dtype: 'int64', shape: ['n', 4] }] }))).toThrow(
      'y is int64 [n,4] and should be float32 [n,4]',
    ));
  test('what it reads', () =>
    expect(withNode((graph) => changed(graph, { inputs: [{ name: 'z', dtype: 'float32', shape: ['n', 4] }] }))).toThrow(
      'block.3/Exp reads z, which is not there',
    ));
  test('a type without a row', () => expect(withNode((graph) => changed(graph, { type: 'Sin' }))).toThrow('called Sin'));
});

describe('what does not fit is refused while a graph is built', () => {
  const g = new Graph();
  const x = g.input('x', 'float32', ['n', 4]);
  const numbers = g.input('numbers', 'int64', ['n', 4]);
  test.each([
    ['two types', () => g.node('Add', [x, numbers]), 'x is float32, numbers is int64'],
    ['sizes', () => g.node('Add', [x, g.constant('float32', [3], [1, 2, 3])]), '[n,4] and [3] do not broadcast'],
    [
      'a product',
      () => g.scope('block.3', () => g.node('Gemm', [x, x])),
      /^block\.3\/Gemm: .*a product of \[n,4\] and \[n,4\] that do not fit$/,
    ],
    ['a stated shape', () => g.node('Exp', [x], {}, ['n', 3]), 'is [n,4], not [n,3]'],
    ['elements', () => g.node('Reshape', [g.scalar(1), g.constant('int64', [1], [2])]), '[] does not become [2]'],
    ['no shape', () => g.node('Reshape', [x, g.input('shape', 'int64', [2])]), 'it must be stated'],
  ])('%s', (_, build, message) => expect(build).toThrow(message));
});
