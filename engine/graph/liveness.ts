/**
 * How much memory the values of a graph take while it runs, found by going through its nodes as ONNX Runtime does: in its order, with
 * results written over inputs where it does so.
 */
import { extent, type DataType, type Dimensions, type Graph, type Node, type Value } from './graph.ts';
import { fileOrder } from './order.ts';

const elementBytes: Readonly<Record<DataType, number>> = {
  float32: 4,
  float16: 2,
  uint8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
};

/** The result is the first input under another shape. */
const aliases: ReadonlySet<string> = new Set(['Reshape', 'Identity', 'Squeeze', 'Unsqueeze', 'Flatten']);
/**
 * The result is written over the first input where nobody reads that afterwards. Found out op by op: sums and products, exp and the like
 * get memory of their own.
 */
const inPlace: ReadonlySet<string> = new Set(['Tanh', 'Sigmoid', 'Relu', 'Softmax', 'Clip', 'Cast', 'ScatterElements']);

/** Elements are only moved or repeated. */
const copying: ReadonlySet<string> = new Set(['Transpose', 'Concat', 'Split', 'Slice', 'Pad', 'Expand', 'Gather', 'Cast']);

/** Bytes of a value when its symbolic dimensions are `dims`. */
function valueBytes({ dtype, shape }: Pick<Value, 'dtype' | 'shape'>, dims: Dimensions): number {
  return Math.ceil(shape.reduce<number>((product, dim) => product * extent(dim, dims), 1) * elementBytes[dtype]);
}

/** How a graph goes through memory; found once, then asked for any sizes. */
export class Liveness {
  readonly #order: readonly Node[];
  readonly #reads: readonly (readonly Value[])[];
  readonly #readers = new Map<Value, number>();
  readonly #bodies: readonly (readonly Liveness[])[];

  constructor(graph: Graph) {
    this.#order = runOrder(graph);
    this.#reads = this.#order.map(readBy);
    this.#bodies = this.#order.map((node) => bodiesOf(node).map((body) => new Liveness(body)));
    const read = (value: Value) => this.#readers.set(value, (this.#readers.get(value) ?? 0) + 1);
    for (const values of this.#reads) values.forEach(read);
    // What the graph answers with stays to the end.
    for (const value of graph.outputs.values()) read(value);
  }

  get nodes(): number {
    return this.#order.length;
  }

  /** Nodes that compute nothing and still write. */
  get copies(): number {
    return this.#order.filter(({ type }) => copying.has(type)).length;
  }

  /**
   * The largest sum of the bytes that are alive at once, how much of it lies inside of a loop, and how often memory is asked for outside
   * of loops. Inputs and weights are not in it.
   */
  peak(dims: Dimensions): { readonly bytes: number; readonly inLoop: number; readonly allocations: number } {
    /** Which block of memory a value lies in, how large a block is, and how often the values in it will still be read. */
    const blockOf = new Map<Value, number>();
    const size: number[] = [];
    const uses: number[] = [];
    let alive = 0;
    let peak = { bytes: 0, inLoop: 0 };
    for (const [i, node] of this.#order.entries()) {
      for (const [j, output] of node.outputs.entries()) {
        let block = j === 0 ? reusedBlock(node, blockOf, uses) : null;
        if (block === null) {
          block = size.push(valueBytes(output, dims)) - 1;
          uses.push(0);
          alive += size[block]!;
        }
        blockOf.set(output, block);
        uses[block]! += this.#readers.get(output) ?? 0;
      }
      // One turn of a loop is alive at once.
      const inLoop = this.#bodies[i]!.reduce((sum, body) => sum + body.peak(dims).bytes, 0);
      if (alive + inLoop > peak.bytes) peak = { bytes: alive + inLoop, inLoop };
      for (const value of this.#reads[i]!) {
        const block = blockOf.get(value);
        if (block !== undefined && --uses[block]! === 0) alive -= size[block]!;
      }
    }
    return { ...peak, allocations: size.length };
  }
}

/** The block of an input that the first output of a node takes over. */
function reusedBlock(
  { type, inputs, outputs }: Node,
  blockOf: ReadonlyMap<Value, number>,
  uses: readonly number[],
): number | null {
  if (aliases.has(type)) return blockOf.get(inputs[0]!) ?? null;
  if (!inPlace.has(type)) return null;
  const block = blockOf.get(inputs[0]!);
  return block !== undefined && uses[block] === 1 && elementBytes[inputs[0]!.dtype] === elementBytes[outputs[0]!.dtype]
    ? block
    : null;
}

function bodiesOf({ attributes }: Node): Graph[] {
  return Object.values(attributes).flatMap((attribute) => ('graph' in attribute ? [attribute.graph] : []));
}

/** What a node reads: its inputs, and what the bodies of its loops take from the graph around them. */
function readBy(node: Node): readonly Value[] {
  return [...node.inputs, ...bodiesOf(node).flatMap((body) => body.nodes.flatMap(readBy))];
}

/**
 * ONNX Runtime's order (Graph::ReverseDFSFrom with the comparison of node indices): depth first from the leaves, the last leaf of the file
 * first, and of several producers the one that stands last in the file first.
 */
export function runOrder(graph: Graph): Node[] {
  const file = fileOrder(graph);
  const index = new Map(file.map((node, i) => [node, i] as const));
  const producer = new Map(file.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const consumed = new Set(file.flatMap(readBy));
  const stack = file
    .filter((node) => !node.outputs.some((output) => consumed.has(output)))
    .map((node) => ({ node, leaving: false }));
  const seen = new Set<Node>();
  const order: Node[] = [];
  for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
    const { node, leaving } = entry;
    if (leaving) order.push(node);
    else if (!seen.has(node)) {
      seen.add(node);
      stack.push({ node, leaving: true });
      const producers = new Set(readBy(node).flatMap((value) => producer.get(value) ?? []));
      for (const before of [...producers].sort((a, b) => index.get(a)! - index.get(b)!))
        stack.push({ node: before, leaving: false });
    }
  }
  return order;
}
