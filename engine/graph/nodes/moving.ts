/** Defines nodes that move, repeat, pick or count elements, and compute nothing. */
import { assert } from '../../problem.ts';
import { broadcast, positiveAxis, replaced, sameDim, share, sum, type Dim, type Shape } from '../dim.ts';
import {
  commonType,
  int,
  ints,
  knownNumbers,
  likeFirst,
  plain,
  type Call,
  type LoweringRule,
  type NodeType,
} from './node-type.ts';
import { add, asFloat, elements, reshape, scalarFor } from './lowering.ts';
import { repeated, size, transposed } from './tensor.ts';

const moving = {
  domain: '',
  memory: 'own',
  cost: 'moves',
  lowering: 'same',
  precision: 'any',
} as const satisfies Partial<NodeType>;

/**
 * Returns the size that -1 stands for, or null where no rule can know its name, for example when `[batch, time]` is laid end to
 * end.
 */
function rest(from: Shape, others: readonly number[]): Dim | null {
  const named = from.filter((dim) => typeof dim !== 'number');
  if (named.length > 1) return null;
  const numbers = size(from.filter((dim) => typeof dim === 'number'));
  return share(named[0] ?? 1, numbers, size(others));
}

function reshaped(call: Call): Shape | null {
  const { inputs, known, stated } = call;
  const [x, target] = inputs;
  const given = known(target!);
  if (given === null) return null;
  const open = given.indexOf(-1);
  const asked = stated[0];
  if (open < 0) {
    if ([...x!.shape, ...given].every((dim) => typeof dim === 'number'))
      assert(elements(x!.shape) === elements(given), `[${x!.shape.join()}] does not become [${given.join()}]`);
    return given;
  }
  const found = rest(x!.shape, given.filter((dim) => dim !== -1) as readonly number[]);
  if (found !== null) return replaced(given, open, found);
  assert(
    asked === undefined || (asked.length === given.length && asked.every((dim, i) => i === open || sameDim(dim, given[i]!))),
    `[${given.join()}] is not [${asked?.join()}]`,
  );
  return null;
}

function joinedShape({ inputs, attributes: { axis } }: Call): Shape {
  const [first, ...others] = inputs.map(({ shape }) => shape);
  const at = positiveAxis(first!, int(axis, 0));
  for (const shape of others)
    assert(
      shape.length === first!.length && shape.every((dim, i) => i === at || sameDim(dim, first![i]!)),
      `[${shape.join()}] does not lie beside [${first!.join()}]`,
    );
  return replaced(first!, at, sum(inputs.map(({ shape }) => shape[at]!)));
}

/** Returns the sizes of the parts along the axis, or null for those whose lengths the graph computes. */
function partsOf({ inputs, attributes, known, stated }: Call): readonly (Dim | null)[] {
  if (inputs.length > 1) return known(inputs[1]!) ?? stated.map(() => null);
  const count = int(attributes['num_outputs'], 1);
  const whole = inputs[0]!.shape[positiveAxis(inputs[0]!.shape, int(attributes['axis'], 0))]!;
  return Array<Dim>(count).fill(share(whole, 1, count));
}

/** Lowers x[i, t] to Σ over j of [j = t] x[i, j]. */
const pickedByProduct: LoweringRule = (lowering, [x, indices]) => {
  const { g } = lowering;
  const hit = lowering.oneHot(indices!, x!.shape[1] as number);
  const picked = g.node('Where', [hit, x!, scalarFor(g, x!, 0)]);
  return [g.node('ReduceSum', [picked, g.constant('int64', [1], [-1])], { keepdims: { int: 1 } })];
};
const addedWhere: LoweringRule = (lowering, [x, indices, updates]) => {
  const { g } = lowering;
  const hit = lowering.oneHot(indices!, x!.shape[1] as number);
  return [add(g, x!, g.node('Where', [hit, updates!, scalarFor(g, updates!, 0)]))];
};
/** Lowers the addition of rows to rows, possibly several to one, to a product with a matrix that says where each row goes. */
const addedByProduct: LoweringRule = (lowering, [x, indices, updates]) => {
  const { g } = lowering;
  const [rows, ...others] = x!.shape as number[];
  const hit = asFloat(g, lowering.oneHot(indices!, rows!));
  const flat = reshape(g, updates!, [updates!.shape[0]!, elements(others)]);
  const sums = g.node('Gemm', [hit, flat], { transA: { int: 1 }, transB: { int: 0 }, alpha: { float: 1 } });
  return [add(g, x!, reshape(g, sums, x!.shape))];
};

export const movingNodes = {
  Reshape: {
    ...moving,
    outputs: (call) => [{ dtype: call.inputs[0]!.dtype, shape: reshaped(call) }],
    memory: 'view',
    cost: 'cheap',
    kernel: plain(([x, shape]) => {
      const given = [...shape!.data];
      const open = x!.data.length / given.reduce((all, dim) => (dim === -1 ? all : all * dim), 1);
      return { dims: given.map((dim) => (dim === -1 ? open : dim)), data: x!.data };
    }),
  },
  /** Adds axes of size 1, whose places are counted in the result. */
  Unsqueeze: {
    ...moving,
    outputs: (call) => {
      const { dtype, shape } = call.inputs[0]!;
      const added = new Set(knownNumbers(call, 1));
      const own = [...shape];
      const rank = shape.length + added.size;
      return [{ dtype, shape: Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : own.shift()!)) }];
    },
    memory: 'view',
    cost: 'cheap',
    kernel: ([x, axes]) => {
      const own = [...x!.dims];
      const added = new Set(axes!.data);
      return [
        { dims: Array.from({ length: own.length + added.size }, (_, i) => (added.has(i) ? 1 : own.shift()!)), data: x!.data },
      ];
    },
  },
  Expand: {
    ...moving,
    outputs: ({ inputs: [x, shape], known }) => {
      const given = known(shape!);
      return [{ dtype: x!.dtype, shape: given === null ? null : broadcast(x!.shape, given) }];
    },
    kernel: plain(([x, shape]) => {
      const dims = [...shape!.data];
      return { dims, data: repeated(x!, dims) };
    }),
  },
  Transpose: {
    ...moving,
    outputs: ({ inputs: [x], attributes: { perm } }) => [{ dtype: x!.dtype, shape: ints(perm).map((axis) => x!.shape[axis]!) }],
    kernel: plain(([x], { perm }) => transposed(x!, ints(perm))),
  },
  Concat: {
    ...moving,
    outputs: (call) => [{ dtype: commonType(call.inputs), shape: joinedShape(call) }],
    kernel: plain((inputs, { axis }) => {
      const first = inputs[0]!.dims;
      const at = positiveAxis(first, int(axis, 0));
      const along = inputs.map(({ dims }) => size(dims.slice(at)));
      const data = Array.from({ length: size(first.slice(0, at)) }, (_, i) =>
        inputs.flatMap((x, j) => [...x.data.subarray(i * along[j]!, (i + 1) * along[j]!)]),
      ).flat();
      const dims = first.map((dim, i) => (i === at ? inputs.reduce((total, x) => total + x.dims[at]!, 0) : dim));
      return { dims, data: Float64Array.from(data) };
    }),
  },
  /** Splits along an axis into equal parts, or into parts of the lengths in the second input. */
  Split: {
    ...moving,
    outputs: (call) => {
      const { dtype, shape } = call.inputs[0]!;
      const axis = int(call.attributes['axis'], 0);
      return partsOf(call).map((part) => ({ dtype, shape: part === null ? null : replaced(shape, axis, part) }));
    },
    kernel: ([x, lengths], { outputs, attributes: { axis } }) => {
      const { dims, data } = x!;
      const at = positiveAxis(dims, int(axis, 0));
      const parts = lengths === undefined ? outputs.map(() => dims[at]! / outputs.length) : [...lengths.data];
      const [before, width] = [size(dims.slice(0, at)), size(dims.slice(at + 1))];
      let from = 0;
      return parts.map((part) => {
        const start = from;
        from += part;
        const rows = Array.from({ length: before }, (_, i) => {
          const first = i * dims[at]! + start;
          return [...data.subarray(first * width, (first + part) * width)];
        });
        return { dims: dims.map((dim, i) => (i === at ? part : dim)), data: Float64Array.from(rows.flat()) };
      });
    },
  },
  /** Cuts a range out of the last axis. */
  Slice: {
    ...moving,
    outputs: (call) => {
      const { dtype, shape } = call.inputs[0]!;
      const [[start], [end], [axis]] = [knownNumbers(call, 1), knownNumbers(call, 2), knownNumbers(call, 3)];
      assert(axis === shape.length - 1, `a slice of axis ${axis} of [${shape.join()}]: only the last one is cut`);
      return [{ dtype, shape: replaced(shape, axis, end! - start!) }];
    },
    kernel: plain(([x, start, end]) => {
      const [from, to] = [start!.data[0]!, end!.data[0]!];
      const width = x!.dims.at(-1)!;
      const rows = Array.from({ length: x!.data.length / width }, (_, row) => [
        ...x!.data.subarray(row * width + from, row * width + to),
      ]);
      return { dims: [...x!.dims.slice(0, -1), to - from], data: Float64Array.from(rows.flat()) };
    }),
  },
  /** Adds zeros before and after the last axis. */
  Pad: {
    ...moving,
    outputs: (call) => {
      const { dtype, shape } = call.inputs[0]!;
      const pads = knownNumbers(call, 1);
      return [{ dtype, shape: shape.map((dim, i) => sum([pads[i]!, dim, pads[shape.length + i]!])) }];
    },
    kernel: plain(([x, pads]) => {
      const rank = x!.dims.length;
      const [before, after] = [pads!.data[rank - 1]!, pads!.data[2 * rank - 1]!];
      const width = x!.dims.at(-1)!;
      const data = new Float64Array((x!.data.length / width) * (before + width + after));
      for (let row = 0; row < x!.data.length / width; row++)
        data.set(x!.data.subarray(row * width, (row + 1) * width), row * (before + width + after) + before);
      return { dims: [...x!.dims.slice(0, -1), before + width + after], data };
    }),
  },
  /** Picks rows along the first axis. */
  Gather: {
    ...moving,
    outputs: ({ inputs: [x, rows] }) => [{ dtype: x!.dtype, shape: [...rows!.shape, ...x!.shape.slice(1)] }],
    kernel: plain(([x, rows]) => {
      const width = size(x!.dims.slice(1));
      const data = [...rows!.data].flatMap((row) => [...x!.data.subarray(row * width, (row + 1) * width)]);
      return { dims: [...rows!.dims, ...x!.dims.slice(1)], data: Float64Array.from(data) };
    }),
  },
  /** Picks columns of a matrix, different ones in each row. */
  GatherElements: {
    ...moving,
    outputs: ({ inputs: [x, indices] }) => [{ dtype: x!.dtype, shape: indices!.shape }],
    cost: 'cheap',
    lowering: pickedByProduct,
    kernel: plain(([x, indices]) => {
      const [width, picked] = [x!.dims.at(-1)!, indices!.dims.at(-1)!];
      const data = indices!.data.map((column, i) => x!.data[Math.floor(i / picked) * width + column]!);
      return { dims: indices!.dims, data };
    }),
  },
  /** Adds numbers to columns of a matrix, different ones in each row. */
  ScatterElements: {
    ...moving,
    outputs: likeFirst,
    memory: 'over-input',
    cost: 'dear',
    lowering: addedWhere,
    kernel: plain(([x, indices, updates]) => {
      const [width, picked] = [x!.dims.at(-1)!, indices!.dims.at(-1)!];
      const data = x!.data.slice();
      indices!.data.forEach((column, i) => (data[Math.floor(i / picked) * width + column]! += updates!.data[i]!));
      return { dims: x!.dims, data };
    }),
  },
  /** Adds rows to rows. */
  ScatterND: {
    ...moving,
    outputs: likeFirst,
    cost: 'dear',
    lowering: addedByProduct,
    precision: 'float32',
    kernel: plain(([x, indices, updates]) => {
      const width = size(x!.dims.slice(1));
      const data = x!.data.slice();
      indices!.data.forEach((row, i) => {
        for (let j = 0; j < width; j++) data[row * width + j]! += updates!.data[i * width + j]!;
      });
      return { dims: x!.dims, data };
    }),
  },
  Shape: {
    ...moving,
    outputs: ({ inputs: [x] }) => [{ dtype: 'int64', shape: [x!.shape.length] }],
    cost: 'cheap',
    kernel: plain(([x]) => ({ dims: [x!.dims.length], data: Float64Array.from(x!.dims) })),
  },
} satisfies Readonly<Record<string, NodeType>>;
