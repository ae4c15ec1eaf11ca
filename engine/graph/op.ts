/**
 * Defines a differentiable operation: it adds itself to a graph, and turns the gradient of its result into those of its inputs.
 */
import { assert } from '../problem.ts';
import type { Graph } from './graph.ts';
import type { Value } from './node.ts';

/** Builds a gradient: calling it adds its nodes. The thunk of a frozen input is never called, so it costs no node. */
export type GradientThunk = () => Value;

export interface BackwardContext<A> {
  readonly inputs: readonly Value[];
  readonly output: Value;
  readonly attributes: A;
  /** Lists the values that the forward kept for its gradient. */
  readonly saved: readonly Value[];
  readonly dy: Value;
}

export interface OpDefinition<A> {
  readonly name: string;
  /** Adds the nodes. The first value is the result, the others are kept for `backward`. */
  forward(g: Graph, inputs: readonly Value[], attributes: A): readonly [Value, ...Value[]];
  /** Returns one thunk per input, or null where there can be no gradient (an index). */
  backward(g: Graph, context: BackwardContext<A>): readonly (GradientThunk | null)[];
}

/** Represents a differentiable operation; calling it adds it to a graph. */
export interface Op<A> {
  (g: Graph, inputs: readonly Value[], attributes: A): Value;
  readonly definition: OpDefinition<A>;
}
/** Represents a differentiable operation without attributes. */
export interface PlainOp {
  (g: Graph, inputs: readonly Value[]): Value;
  readonly definition: OpDefinition<undefined>;
}

export function defineOp(definition: OpDefinition<undefined>): PlainOp;
export function defineOp<A>(definition: OpDefinition<A>): Op<A>;
export function defineOp<A>(definition: OpDefinition<A>): Op<A> {
  const op = (g: Graph, inputs: readonly Value[], attributes: A): Value => {
    // Operations inside an operation are not recorded on the tape.
    const [output, ...saved] = g.record(() => definition.forward(g, inputs, attributes)).result;
    g.remember({
      name: definition.name,
      inputs,
      output,
      backward(dy, needed) {
        const thunks = definition.backward(g, { inputs, output, attributes, saved, dy });
        assert(thunks.length === inputs.length, `${definition.name}: ${thunks.length} gradients for ${inputs.length} inputs`);
        return thunks.map((thunk, i) => (needed[i] === true && thunk !== null ? thunk() : null));
      },
    });
    return output;
  };
  return Object.assign(op, { definition });
}
