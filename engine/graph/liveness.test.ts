/** Peaks that can be counted by hand, in units of one value of 1,000 float32. */
import { expect, test } from 'vitest';
import { share, type Shape } from './dim.ts';
import { Graph } from './graph.ts';
import type { Value } from './node.ts';
import { Liveness } from './liveness.ts';
import type { NodeTypeName } from './nodes/index.ts';
import { concat, reshape, sliceLast } from './ops/shape.ts';

const unit = 4 * 10 * 100;
const shape = ['rows', 100];
const dims = new Map([['rows', 10]]);
const peakOf = (build: (g: Graph, x: Value) => Value) => {
  const g = new Graph();
  g.output('y', build(g, g.input('x', 'float32', shape)));
  return new Liveness(g).peak(dims).bytes / unit;
};
const apply = (g: Graph, type: NodeTypeName, ...inputs: Value[]) => g.node(type, inputs);
const inAnotherShape = (g: Graph, x: Value, other: Shape) => reshape(g, [x], { shape: other });

test('a chain has two values alive, the one that is read and the one that is written', () => {
  expect(peakOf((g, x) => apply(g, 'Exp', apply(g, 'Exp', apply(g, 'Exp', x))))).toBe(2);
});

test('what is written over its input, or is its input in another shape, takes nothing', () => {
  // What the graph answers with has memory of its own.
  expect(peakOf((g, x) => apply(g, 'Exp', apply(g, 'Relu', apply(g, 'Relu', apply(g, 'Exp', x)))))).toBe(2);
  expect(peakOf((g, x) => apply(g, 'Exp', apply(g, 'Relu', inAnotherShape(g, apply(g, 'Exp', x), shape))))).toBe(2);
  expect(peakOf((g, x) => apply(g, 'Relu', apply(g, 'Exp', x)))).toBe(2);
  // Somebody else still reads it.
  expect(
    peakOf((g, x) => {
      const y = apply(g, 'Exp', x);
      return apply(g, 'Add', apply(g, 'Relu', y), y);
    }),
  ).toBe(3);
});

test('what is kept for later counts until it was read', () => {
  expect(
    peakOf((g, x) => {
      const [a, b] = [apply(g, 'Exp', x), apply(g, 'Log', x)];
      return apply(g, 'Mul', apply(g, 'Exp', apply(g, 'Exp', a)), b);
    }),
  ).toBe(3);
});

test('memory that a later value of the same shape takes is held until then', () => {
  const peakWith = (columns: number) =>
    peakOf((g, x) => {
      const first = apply(g, 'Exp', x);
      const wide = concat(g, [first, first, first], { axis: 1 });
      return apply(g, 'Log', sliceLast(g, [apply(g, 'Exp', wide)], { start: 0, end: columns }));
    });
  expect(peakWith(100)).toBe(7);
  // Nearly as large, but of another shape: nobody takes it, and it is given back at once.
  expect(peakWith(99)).toBe(6);
});

test('a part of a dimension is that part', () => {
  const g = new Graph();
  g.output('y', apply(g, 'Exp', g.input('x', 'float32', [share('rows', 3, 5), 100])));
  expect(new Liveness(g).peak(dims).bytes).toBe(4 * 6 * 100);
});

test('of a loop one turn counts, beside what is alive around it', () => {
  const g = new Graph();
  const x = g.input('x', 'float32', ['turns', 10, 100]);
  const body = new Graph('body');
  const own = body.input('body/x', 'float32', [10, 100]);
  body.output('body/y', apply(body, 'Exp', apply(body, 'Exp', own)));
  g.output('y', g.node('Scan', [x], { body: { graph: body } }));
  expect(new Liveness(g).peak(new Map([['turns', 5]]))).toEqual({ bytes: 7 * unit, inLoop: 2 * unit, allocations: 1 });
});
