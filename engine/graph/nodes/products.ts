/** Defines the nodes that multiply matrices. */
import { assert } from '../../problem.ts';
import { broadcast, sameDim, type Shape } from '../dim.ts';
import type { Attributes, Value } from '../node.ts';
import { elements, mul, reshape, scalarFor, swapped } from './lowering.ts';
import { commonType, float, int, plain, type LoweringRule, type NodeType, type OutputRule } from './node-type.ts';
import { lastTwoSwapped, repeated, size, transposed, type Tensor } from './tensor.ts';

/** Computes alpha op(a) op(b) + c for stacks that broadcast, where op transposes the last two axes or not. */
export function product([a, b, c]: readonly Tensor[], { transA, transB, alpha }: Attributes): Tensor {
  const turned = (x: Tensor): Tensor => transposed(x, lastTwoSwapped(x.dims.length));
  const left = int(transA, 0) === 1 ? turned(a!) : a!;
  const right = int(transB, 0) === 1 ? turned(b!) : b!;
  const [m, k] = left.dims.slice(-2) as [number, number];
  const n = right.dims.at(-1)!;
  const stacks = left.dims.slice(0, -2).map((dim, i) => Math.max(dim, right.dims[i]!));
  const dims = [...stacks, m, n];
  const [x, y] = [repeated(left, [...stacks, m, k]), repeated(right, [...stacks, k, n])];
  const data = new Float64Array(size(dims));
  for (let stack = 0; stack < size(stacks); stack++)
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let l = 0; l < k; l++) sum += x[(stack * m + i) * k + l]! * y[(stack * k + l) * n + j]!;
        data[(stack * m + i) * n + j] = float(alpha, 1) * sum;
      }
  return c === undefined ? { dims, data } : { dims, data: repeated(c, dims).map((added, i) => added + data[i]!) };
}

const ofMatrices: OutputRule = ({ inputs, attributes: { transA, transB } }) => {
  const [a, b] = inputs.map(({ shape }) => shape) as [Shape, Shape, ...Shape[]];
  const text = `[${a.join()}] and [${b.join()}]`;
  assert(a.length >= 2 && b.length >= 2, `no matrices: ${text}`);
  const [m, k] = int(transA, 0) === 1 ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!];
  const [k2, n] = int(transB, 0) === 1 ? [b.at(-1)!, b.at(-2)!] : [b.at(-2)!, b.at(-1)!];
  assert(sameDim(k, k2), `a product of ${text} that do not fit`);
  return [{ dtype: commonType(inputs), shape: [...broadcast(a.slice(0, -2), b.slice(0, -2)), m, n] }];
};

// A transposed copy, and where one matrix serves a group of others these become one of more rows: a stack of plain products.
const stackOfProducts: LoweringRule = (lowering, [a, b], { name, outputs: [y], attributes }) => {
  const { g } = lowering;
  const { transA, transB, alpha: scale } = attributes;
  const shape = lowering.shape(y!.shape);
  const alpha = float(scale, 1);
  const factor = (x: Value): Value => (alpha === 1 ? x : mul(g, x, scalarFor(g, x, alpha)));
  // Whichever is smallest is scaled.
  const sizes = [a!.shape, b!.shape, shape].map(elements);
  const smallest = sizes.indexOf(Math.min(...sizes));
  const left = int(transA, 0) === 1 ? swapped(g, a!) : a!;
  const right = int(transB, 0) === 1 ? swapped(g, b!) : b!;
  const [x, z] = [smallest === 0 ? factor(left) : left, smallest === 1 ? factor(right) : right];
  const stack = elements(z.shape.slice(0, -2));
  const rows = elements(shape.slice(0, -1)) / stack;
  // Stacks of the right repeat for the leading dimensions of the left only where it has size 1 at the end of them.
  const isGroup = z.shape.slice(0, -2).every((dim, i) => dim === x.shape[i] || z.shape.slice(i, -2).every((d) => d === 1));
  assert(isGroup && elements(x.shape.slice(0, -1)) === stack * rows, `${name}: stacks that do not fold`);
  const left3 = reshape(g, x, [stack, rows, x.shape.at(-1)!]);
  const right3 = reshape(g, z, [stack, z.shape.at(-2)!, z.shape.at(-1)!]);
  const whole = reshape(g, g.node('MatMul', [left3, right3]), shape);
  return [smallest === 2 ? factor(whole) : whole];
};

const plainProduct: NodeType = {
  domain: '',
  outputs: ofMatrices,
  kernel: plain(product),
  memory: 'own',
  cost: 'dear',
  lowering: 'same',
  precision: 'any',
};

export const productNodes = {
  /** Multiplies two matrices and adds a third. */
  Gemm: {
    ...plainProduct,
    outputs: (call) => {
      const { shape } = ofMatrices(call)[0]!;
      assert(shape!.length === 2, `Gemm takes matrices, not stacks of them`);
      const added = call.inputs[2]?.shape ?? [];
      assert(
        broadcast(shape!, added).every((dim, i) => sameDim(dim, shape![i]!)),
        `[${added.join()}] is not added to [${shape!.join()}]`,
      );
      return [{ dtype: commonType(call.inputs), shape }];
    },
  },
  MatMul: plainProduct,
  FusedMatMul: { ...plainProduct, domain: 'com.microsoft', lowering: stackOfProducts },
} satisfies Readonly<Record<string, NodeType>>;
