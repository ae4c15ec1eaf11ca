/** Defines nodes that compute element by element. */
import { assert } from '../../problem.ts';
import { broadcast, type Shape } from '../dim.ts';
import { rounded, typeOfCode } from '../dtype.ts';
import type { Value } from '../node.ts';
import { commonType, float, int, likeFirst, plain, type Kernel, type NodeType } from './node-type.ts';
import { repeated, type Tensor } from './tensor.ts';

const together = (inputs: readonly Value[]): Shape => inputs.map(({ shape }) => shape).reduce(broadcast);

const elementwise = {
  domain: '',
  outputs: likeFirst,
  memory: 'own',
  cost: 'cheap',
  lowering: 'same',
  precision: 'any',
} as const satisfies Partial<NodeType>;

const zipped =
  (f: (a: number, b: number) => number) =>
  ([a, b]: readonly Tensor[]): Tensor => {
    const rank = Math.max(a!.dims.length, b!.dims.length);
    const dims = Array.from({ length: rank }, (_, i) => {
      const x = a!.dims[i - rank + a!.dims.length] ?? 1;
      return x === 1 ? (b!.dims[i - rank + b!.dims.length] ?? 1) : x;
    });
    const right = repeated(b!, dims);
    return { dims, data: repeated(a!, dims).map((x, i) => f(x, right[i]!)) };
  };

const mapped =
  (f: (x: number) => number) =>
  ([x]: readonly Tensor[]): Tensor => ({ dims: x!.dims, data: x!.data.map(f) });

const unary = (f: (x: number) => number): NodeType => ({ ...elementwise, kernel: plain(mapped(f)) });
/** Defines exponents and logarithms, which stay in float32 because they magnify the rounding of their input. */
const power = (f: (x: number) => number): NodeType => ({ ...unary(f), precision: 'float32' });

/** Defines a node with two inputs. `wrapping` computes the same in arithmetic modulo 2³², for int32. */
const binary = (f: (a: number, b: number) => number, wrapping = f): NodeType => ({
  ...elementwise,
  outputs: ({ inputs }) => [{ dtype: commonType(inputs), shape: together(inputs) }],
  kernel: (inputs, { outputs: [y] }) => [zipped(y!.dtype === 'int32' ? wrapping : f)(inputs)],
});
const comparison = (f: (a: number, b: number) => boolean): NodeType => ({
  ...elementwise,
  outputs: ({ inputs }) => {
    commonType(inputs);
    return [{ dtype: 'bool', shape: together(inputs) }];
  },
  kernel: plain(zipped((a, b) => (f(a, b) ? 1 : 0))),
});
const overInput = (node: NodeType): NodeType => ({ ...node, memory: 'over-input' });
const ofRuntime = (node: NodeType): NodeType => ({ ...node, domain: 'com.microsoft' });

/** Computes the error function by Simpson's rule, which is plain and exact enough. */
function erf(x: number): number {
  const steps = 2000;
  const width = x / steps;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    sum += weight * Math.exp(-((i * width) ** 2));
  }
  return ((2 / Math.sqrt(Math.PI)) * sum * width) / 3;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const quickGelu: Kernel = plain((inputs, { alpha }) => mapped((x) => x * sigmoid(float(alpha, 1.702) * x))(inputs));

export const elementwiseNodes = {
  Identity: { ...unary((x) => x), memory: 'view' },
  Add: binary(
    (a, b) => a + b,
    (a, b) => (a + b) | 0,
  ),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b, Math.imul),
  Div: binary((a, b) => a / b),
  Neg: unary((x) => -x),
  Exp: power(Math.exp),
  Log: power(Math.log),
  Reciprocal: unary((x) => 1 / x),
  Sqrt: unary(Math.sqrt),
  Sign: unary(Math.sign),
  Floor: unary(Math.floor),
  Erf: unary(erf),
  Sigmoid: overInput(unary(sigmoid)),
  Tanh: overInput(unary(Math.tanh)),
  Relu: overInput(unary((x) => Math.max(x, 0))),
  Gelu: ofRuntime(unary((x) => (x * (1 + erf(x * Math.SQRT1_2))) / 2)),
  FastGelu: ofRuntime(unary((x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2)),
  QuickGelu: ofRuntime({ ...elementwise, kernel: quickGelu }),
  Clip: {
    ...elementwise,
    outputs: ({ inputs }) => [{ dtype: commonType(inputs), shape: inputs[0]!.shape }],
    memory: 'over-input',
    kernel: plain(([x, low, high]) => mapped((v) => Math.min(Math.max(v, low!.data[0]!), high!.data[0]!))([x!])),
  },
  Equal: comparison((a, b) => a === b),
  Less: comparison((a, b) => a < b),
  Where: {
    ...elementwise,
    outputs: ({ inputs }) => {
      assert(inputs[0]!.dtype === 'bool', `the condition is ${inputs[0]!.dtype}`);
      return [{ dtype: commonType(inputs.slice(1)), shape: together(inputs) }];
    },
    kernel: plain(([condition, a, b]) => {
      const [yes, no] = [repeated(a!, condition!.dims), repeated(b!, condition!.dims)];
      return { dims: condition!.dims, data: condition!.data.map((v, i) => (v === 0 ? no[i]! : yes[i]!)) };
    }),
  },
  Cast: {
    ...elementwise,
    outputs: ({ inputs: [x], attributes: { to } }) => {
      const dtype = typeOfCode(int(to, 0));
      assert(dtype !== undefined, 'a cast to no type that a graph knows');
      return [{ dtype, shape: x!.shape }];
    },
    memory: 'over-input',
    cost: 'moves',
    kernel: ([x], { outputs: [y] }) => [{ dims: x!.dims, data: rounded(y!.dtype, x!.data) }],
  },
} satisfies Readonly<Record<string, NodeType>>;
