/**
 * Rewrites a graph in the operators that every accelerator has: CUDA, DirectML and WebGPU at opset 21
 * (docs/decisions/010-gpus-behind-gates.md says what each lacks). All sizes become numbers, so that no shapes are computed;
 * loops are unrolled; integers are int32. The processor's graph is never changed.
 */
import { assert } from '../problem.ts';
import { extent, type Dimensions, type Shape } from './dim.ts';
import { Graph } from './graph.ts';
import type { GraphParts, Node, Value } from './node.ts';
import { nodeType } from './nodes/index.ts';
import type { Lowering } from './nodes/lowering.ts';

/** Returns a lowered copy of a graph. `sizes` holds the sizes of the named dimensions. */
export function lowered(graph: Graph, sizes: Readonly<Record<string, number>>): Graph {
  const lowering = new Lowered(graph, sizes);
  for (const node of graph.nodes) lowering.lower(node);
  for (const [name, value] of graph.outputs) lowering.g.output(name, lowering.of(value));
  return lowering.g;
}

class Lowered implements Lowering {
  readonly g = new Graph();
  readonly #sizes: Dimensions;
  /** Holds the value in the new graph that replaces each value so far. */
  readonly #places = new Map<Value, Value>();
  /** Holds the prefix of the current turn within an unrolled loop. */
  #turn = '';

  constructor(graph: Graph, sizes: Readonly<Record<string, number>>) {
    this.#sizes = new Map(Object.entries(sizes));
    // Only RotaryEmbedding takes int64, so its input stays as it is.
    const positions = new Set(graph.nodes.filter(({ type }) => type === 'RotaryEmbedding').map(({ inputs }) => inputs[1]!));
    for (const input of graph.inputs) {
      const { name, dtype } = input;
      if (name.startsWith('dim.')) this.#places.set(input, this.g.constant('int64', [1], this.shape([name.slice(4)])));
      else {
        const own = dtype === 'int64' && !positions.has(input) ? 'int32' : dtype;
        this.#places.set(input, this.g.input(name, own, this.shape(input.shape)));
      }
    }
    for (const { value, data } of graph.weights.values())
      this.#places.set(value, this.g.weight(value.name, value.shape as number[], data, value.dtype));
    this.#adoptConstants(graph);
  }

  #adoptConstants({ constants }: GraphParts): void {
    for (const { value, data } of constants.values())
      this.#places.set(value, this.g.constant(value.dtype, value.shape as number[], data));
  }

  of(value: Value): Value {
    const place = this.#places.get(value);
    assert(place !== undefined, `${value.name} is read before it is lowered`);
    return place;
  }

  shape(shape: Shape): number[] {
    return shape.map((dim) => extent(dim, this.#sizes));
  }

  lower(node: Node): void {
    const inputs = node.inputs.map((input) => this.of(input));
    const { lowering } = nodeType(node.type);
    const results =
      this.#folded(node, inputs) ??
      (lowering === 'same'
        ? this.g.copy(node, { inputs, prefix: this.#turn, shapes: node.outputs.map(({ shape }) => this.shape(shape)) })
        : this.g.scope(this.#turn + node.name, () => lowering(this, inputs, node)));
    node.outputs.forEach((output, i) => this.#places.set(output, results[i]!));
  }

  /** Returns constants for nodes that put shapes together, because all sizes are numbers now, or null for other nodes. */
  #folded({ type, outputs: [output] }: Node, inputs: readonly Value[]): readonly Value[] | null {
    if (type !== 'Concat' || output!.dtype !== 'int64') return null;
    return [
      this.g.constant(
        'int64',
        this.shape(output!.shape),
        inputs.flatMap((input) => this.g.known(input) as readonly number[]),
      ),
    ];
  }

  unrolled(body: GraphParts, turn: number, inputs: readonly Value[]): readonly Value[] {
    const outer = this.#turn;
    this.#turn = `${outer}turn ${turn}/`;
    this.#adoptConstants(body);
    body.inputs.forEach((input, i) => this.#places.set(input, inputs[i]!));
    for (const node of body.nodes) this.lower(node);
    this.#turn = outer;
    return [...body.outputs.values()].map((value) => this.of(value));
  }

  oneHot(indices: Value, width: number): Value {
    return this.g.memo(indices, `one of ${width}`, () => {
      const numbers = Array.from({ length: width }, (_, i) => i);
      return this.g.node('Equal', [indices, this.g.constant('int32', [1, width], numbers)]);
    });
  }
}
