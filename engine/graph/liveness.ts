/**
 * Computes how much memory the values of a graph take while it runs, by planning its nodes as ONNX Runtime does: in its order,
 * with results written over inputs where it does so, and otherwise over the block freed last that has the same shape by name.
 */
import { extent, type Dimensions } from './dim.ts';
import { dataTypes } from './dtype.ts';
import { bodiesOf, valuesRead, type GraphParts, type Node, type Value } from './node.ts';
import { nodeType } from './nodes/index.ts';
import { fileOrder } from './order.ts';

/** Returns the bytes of a value when its symbolic dimensions are `dims`. */
function valueBytes({ dtype, shape }: Pick<Value, 'dtype' | 'shape'>, dims: Dimensions): number {
  return Math.ceil(shape.reduce<number>((product, dim) => product * extent(dim, dims), 1) * dataTypes[dtype].size);
}

/**
 * Describes memory that values use one after the other, from before the first of them is written until the last has been read.
 */
interface Block {
  /** Holds the first value in it, which decides its size and which other values can use it. */
  readonly first: Value;
  /** Gives the index, in the order, of the node at which it is freed. */
  end: number;
}

/** Plans the memory of a graph once, and then tells its peak for any sizes. */
export class Liveness {
  readonly #order: readonly Node[];
  readonly #bodies: readonly (readonly Liveness[])[];
  /** Lists the blocks that begin at each node. */
  readonly #begun: readonly (readonly Block[])[];

  constructor(graph: GraphParts) {
    this.#order = runOrder(graph);
    this.#bodies = this.#order.map((node) => bodiesOf(node).map((body) => new Liveness(body)));
    this.#begun = plannedBlocks(graph, this.#order);
  }

  get nodes(): number {
    return this.#order.length;
  }

  /** Returns the number of nodes that compute nothing and still write. */
  get copies(): number {
    return this.#order.filter(({ type }) => nodeType(type).cost === 'moves').length;
  }

  /**
   * Returns the largest number of bytes alive at once, how many of them lie inside of a loop, and how often memory is allocated
   * outside of loops. Inputs and weights are not counted.
   */
  peak(dims: Dimensions): { readonly bytes: number; readonly inLoop: number; readonly allocations: number } {
    const freed = new Float64Array(this.#order.length + 1);
    let alive = 0;
    let allocations = 0;
    let peak = { bytes: 0, inLoop: 0 };
    for (const [i, begun] of this.#begun.entries()) {
      for (const { first, end } of begun) {
        const size = valueBytes(first, dims);
        alive += size;
        freed[end]! += size;
      }
      allocations += begun.length;
      // Only one iteration of a loop is alive at a time.
      const inLoop = this.#bodies[i]!.reduce((sum, body) => sum + body.peak(dims).bytes, 0);
      if (alive + inLoop > peak.bytes) peak = { bytes: alive + inLoop, inLoop };
      alive -= freed[i]!;
    }
    return { ...peak, allocations };
  }
}

/**
 * Gives every value a block, as AllocationPlanner does (ComputeSingleStreamReusePlan). A block that waits for its next value
 * stays allocated: after a layer every block of attention keeps its scores until the next layer takes them.
 */
function plannedBlocks(graph: GraphParts, order: readonly Node[]): readonly (readonly Block[])[] {
  const answers = new Set(graph.outputs.values());
  const reads = order.map(valuesRead);
  const readers = new Map<Value, number>();
  for (const value of reads.flat()) readers.set(value, (readers.get(value) ?? 0) + 1);
  const blockOf = new Map<Value, Block>();
  /** Holds the number of reads still to come of the values in each block. */
  const uses = new Map<Block, number>();
  /** Holds the blocks that wait, by the kind of value they can hold; the last one is taken first. */
  const free = new Map<string, Block[]>();
  return order.map((node, i) => {
    const begun: Block[] = [];
    const written = node.outputs.map((output, j) => {
      // Results of the graph are never reused, and stay to the end.
      const taken = answers.has(output)
        ? undefined
        : ((j === 0 ? overInput(node, blockOf, uses) : undefined) ?? free.get(kindOf(output))?.pop());
      const block = taken ?? { first: output, end: answers.has(output) ? order.length : i };
      if (taken === undefined) begun.push(block);
      blockOf.set(output, block);
      uses.set(block, (uses.get(block) ?? 0) + (readers.get(output) ?? 0));
      return block;
    });
    const give = (block: Block): void => {
      block.end = Math.max(block.end, i);
      if (uses.get(block) !== 0 || block.end === order.length || block.first.shape.length === 0) return;
      const kind = kindOf(block.first);
      const waiting = free.get(kind) ?? [];
      if (!waiting.includes(block)) free.set(kind, [...waiting, block]);
    };
    for (const value of reads[i]!) {
      const block = blockOf.get(value);
      if (block === undefined) continue;
      uses.set(block, uses.get(block)! - 1);
      give(block);
    }
    // Nothing reads it.
    for (const block of written) if (uses.get(block) === 0) give(block);
    return begun;
  });
}

function kindOf({ dtype, shape }: Value): string {
  return `${dataTypes[dtype].size} ${shape.join()}`;
}

/** Returns the block of an input that the first output of a node takes over. */
function overInput(
  { type, inputs, outputs }: Node,
  blockOf: ReadonlyMap<Value, Block>,
  uses: ReadonlyMap<Block, number>,
): Block | undefined {
  const block = blockOf.get(inputs[0]!);
  const { memory } = nodeType(type);
  if (block === undefined || memory === 'view') return block;
  const isLast = memory === 'over-input' && uses.get(block) === 1;
  return isLast && dataTypes[inputs[0]!.dtype].size === dataTypes[outputs[0]!.dtype].size ? block : undefined;
}

/**
 * Returns the nodes in ONNX Runtime's order (Graph::ReverseDFSFrom with the comparison of node indices): depth first from the
 * leaves, the last leaf of the file first, and of several producers the last in the file first.
 */
export function runOrder(graph: GraphParts): Node[] {
  const file = fileOrder(graph);
  const index = new Map(file.map((node, i) => [node, i] as const));
  const producer = new Map(file.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const consumed = new Set(file.flatMap(valuesRead));
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
      const producers = new Set(valuesRead(node).flatMap((value) => producer.get(value) ?? []));
      for (const before of [...producers].sort((a, b) => index.get(a)! - index.get(b)!))
        stack.push({ node: before, leaving: false });
    }
  }
  return order;
}
