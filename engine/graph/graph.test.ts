/** What a training graph must not contain, the order it is written in, and how a wrong rule is named. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readAdapter } from '../adapters/folder.ts';
import type { WeightFiles } from '../decoder/weights.ts';
import { openModel } from '../models/open.ts';
import { linearLayers } from '../models/spec.ts';
import { buildStep } from '../training/step-graph.ts';
import { gradients } from './gradient.ts';
import { Graph } from './graph.ts';
import type { Value } from './node.ts';
import { interpret } from './interpret.ts';
import { defineOp } from './op.ts';
import { add, exp, mul } from './ops/elementwise.ts';
import { gemm } from './ops/matmul.ts';
import { fileOrder } from './order.ts';
import { recompute } from './recompute.ts';
import { rematerialize } from './rematerialize.ts';

const folder = join(import.meta.dirname, '../golden/lora-some-layers');
const { spec, weights } = openModel(join(folder, 'model'));
const { shape } = readAdapter(join(folder, 'adapter'), { spec, weights });
const files: WeightFiles = new Map(
  weights.names.map((name) => [name, { dtype: 'float32', path: 'model', offset: 0, length: 0, shape: weights.shape(name) }]),
);

describe.each([0, 3, 4])('the step of an adapter on layers 2 and 3 of 4, %i of them recomputed', (again) => {
  const graph = buildStep(spec, files, shape, 'gradient', { recompute: again });
  const backward = graph.nodes.filter(({ name }) => name.startsWith('gradient/'));

  test('no node has the gradient of a frozen weight', () => {
    const frozen = new Set([...graph.weights.values()].map(({ value }) => value.shape.join()));
    // Results that do not depend on how many tokens there are: the gradients of the factors, and nothing else.
    const results = backward
      .filter(({ type }) => type === 'Gemm')
      .flatMap(({ outputs }) => outputs)
      .filter((value) => value.shape.every((dim) => typeof dim === 'number'));
    expect(results.length).toBe(shape.tensors.length);
    expect(results.filter((value) => frozen.has(value.shape.join()))).toEqual([]);
  });

  test('the backward ends at the lowest adapter', () => {
    expect(backward.length).toBeGreaterThan(0);
    const lowest = backward.filter(({ name }) => /model\.layers\.[01]\b/.test(name));
    expect(lowest).toEqual([]);
    const normOfLowest = backward.filter(
      ({ name }) => /model\.layers\.2\/input_layernorm/.test(name) && !name.includes('again'),
    );
    expect(normOfLowest).toEqual([]);
  });

  test('logits of all rows are never there', () => {
    const wide = graph.nodes.flatMap(({ outputs }) => outputs).filter((value) => value.shape.includes(spec.vocabularySize));
    expect(wide).toEqual([]);
  });

  test('every adapted matrix has its gradient and every frozen one is read from its file', () => {
    expect([...graph.outputs.keys()].sort()).toEqual(
      [...shape.tensors.map(({ name }) => `gradient.${name}`), 'token_loss'].sort(),
    );
    for (const { path } of linearLayers(spec)) expect(graph.weights.has(`${path}.weight`)).toBe(true);
  });
});

test('file order: frozen nodes first, then as built, then leaves with the last one first, and nothing unread', () => {
  const g = new Graph();
  const x = g.input('x', 'float32', [2]);
  const w = g.weight('w', [2], { path: 'w', offset: 0, length: 8 });
  const early = mul(g, [x, x]);
  const inner = exp(g, [x]);
  const ofWeight = exp(g, [w]);
  const late = add(g, [inner, ofWeight]);
  exp(g, [exp(g, [late])]);
  g.output('early', early);
  g.output('late', late);
  expect(fileOrder(g).map(({ outputs }) => outputs[0])).toEqual([ofWeight, inner, late, early]);
});

test('a recomputed part has the gradient of the part', () => {
  const results = [false, true].map((again) => {
    const g = new Graph();
    const x = g.input('x', 'float32', [3]);
    const w = g.input('w', 'float32', [3]);
    const part = (): Value => exp(g, [mul(g, [x, w])]);
    const { result, tape } = g.record(() => mul(g, [again ? recompute(g, part) : part(), x]));
    const seed = g.constant('float32', [3], [1, 1, 1]);
    gradients(g, tape, result, seed, [x, w]).forEach((gradient, i) => g.output(`d${i}`, gradient!));
    const feeds = { x: { dims: [3], data: Float64Array.of(1, 2, 3) }, w: { dims: [3], data: Float64Array.of(0.1, -0.2, 0.3) } };
    return { values: interpret(g, feeds), exponentials: g.nodes.filter(({ type }) => type === 'Exp').length };
  });
  expect(results[1]!.values).toEqual(results[0]!.values);
  expect(results.map(({ exponentials }) => exponentials)).toEqual([1, 2]);
});

test('what is shared by readers of a value is one for each graph and purpose', () => {
  const g = new Graph();
  const x = g.input('x', 'float32', [2, 32]);
  const sums = (graph: Graph, length: number) => graph.memo(x, `sums of ${length}`, () => ({ length }));
  expect(sums(g, 16)).toBe(sums(g, 16));
  expect(sums(g, 32)).toEqual({ length: 32 });
  expect(sums(new Graph(), 16)).not.toBe(sums(g, 16));
});

test('the backward computes again what is cheap, and keeps what is not', () => {
  const build = (forget: boolean) => {
    const g = new Graph();
    const x = g.input('x', 'float32', [2, 2]);
    const w = g.input('w', 'float32', [2, 2]);
    const { result, tape } = g.record(() => {
      const product = gemm(g, [x, w], {});
      // The backward of each reads its own result and the last also the product.
      return mul(g, [exp(g, [exp(g, [product])]), product]);
    });
    const forward = g.nodes.length;
    const seed = g.constant('float32', [2, 2], [1, 2, 3, 4]);
    gradients(g, tape, result, seed, [x]).forEach((gradient, i) => g.output(`d${i}`, gradient!));
    if (forget) rematerialize(g, forward);
    const backward = g.nodes.slice(forward);
    const own = new Set(backward.flatMap(({ outputs }) => outputs));
    const kept = backward.flatMap(({ inputs }) => inputs).filter((value) => !own.has(value) && value.name.includes('Exp'));
    const feeds = {
      x: { dims: [2, 2], data: Float64Array.of(1, 0.2, -1, 0.3) },
      w: { dims: [2, 2], data: Float64Array.of(0.1, -0.2, 0.3, 0.4) },
    };
    return { values: interpret(g, feeds), kept: kept.length, products: g.nodes.filter(({ type }) => type === 'Gemm').length };
  };
  const [plain, forgetful] = [build(false), build(true)];
  expect(forgetful.values).toEqual(plain.values);
  expect(plain.kept).toBeGreaterThan(0);
  expect(forgetful.kept).toBe(0);
  expect(forgetful.products).toBe(plain.products);
});

describe('a wrong rule is named', () => {
  const derive = (backward: (g: Graph, dy: Value) => (() => Value)[]) => {
    const wrong = defineOp({
      name: 'Wrong',
      forward: (g, [x]) => [g.node('Neg', [x!])],
      backward: (g, { dy }) => backward(g, dy),
    });
    const g = new Graph();
    const x = g.input('x', 'float32', [2, 3]);
    const { result, tape } = g.record(() => g.scope('model.layers.4', () => wrong(g, [x])));
    return () => gradients(g, tape, result, g.input('dy', 'float32', [2, 3]), [x]);
  };
  test('its count', () => expect(derive((_, dy) => [() => dy, () => dy])).toThrow('Wrong: 2 gradients for 1 inputs'));
  test('its shape', () =>
    expect(derive((g) => [() => g.constant('float32', [3, 2], [1, 2, 3, 4, 5, 6])])).toThrow(
      'gradient of input 0 (x) of Wrong at model.layers.4 is [3,2], not [2,3]',
    ));
  test('its type', () =>
    expect(derive((g) => [() => g.constant('int64', [2, 3], [1, 2, 3, 4, 5, 6])])).toThrow('is int64, not float32'));
});
