/**
 * Draws random numbers inside a graph, by counter: a number depends only on the key of its row, which is an input, on its
 * column, and on the name of its use. So a recomputed block draws the same numbers again, and nothing depends on how rows are
 * batched.
 */
import type { Graph } from '../graph.ts';
import type { Value } from '../node.ts';
import { defineOp, type Op } from '../op.ts';
import { add, mul } from './elementwise.ts';

/** Holds two random int32 for each row, each value `[rows, 1]`. */
export type RowKeys = readonly [Value, Value];

// f(x) = x (2 x + 1) maps the numbers modulo 2³² one to one, and its high bits depend on all bits of x (Rivest et al.: RC6, 1998). Twice:
//   z = f(f(row₁ + name₁ + column₁) + row₂ + name₂ + column₂), of which only the high bits are used.
// int32 throughout: every provider has it, and shifts and exclusive ors not every one.
export function randomBits(g: Graph, [first, second]: RowKeys, name: string, width: number): Value {
  const columns = (salt: number): Value =>
    g.constant(
      'int32',
      [1, width],
      Array.from({ length: width }, (_, column) => mixed(salt, column)),
    );
  const named = (key: Value, salt: number): Value => add(g, [key, g.constant('int32', [], [mixed(hashed(name), salt)])]);
  const permuted = (x: Value): Value => {
    const doubled = add(g, [x, x]);
    return mul(g, [x, add(g, [doubled, g.constant('int32', [], [1])])]);
  };
  const once = permuted(add(g, [named(first, 1), columns(1)]));
  return permuted(add(g, [add(g, [once, named(second, 2)]), columns(2)]));
}

/** Hashes a name to 32 bits (FNV-1a). */
function hashed(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash;
}

/** Computes the finalizer of MurmurHash3 over a key and a counter. */
function mixed(key: number, counter: number): number {
  let x = key + Math.imul(counter, 0x9e3779b9);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) | 0;
}

export interface DropoutAttributes {
  /** Gives the share of the elements that become 0, from 0 to 1. */
  readonly rate: number;
  /** Gives the name of the use; each name has a mask of its own. */
  readonly name: string;
}

// y = x ∘ mask / (1 - rate)        dx = dy ∘ mask / (1 - rate)        inputs x [rows, width] and the keys of the rows
export const dropout: Op<DropoutAttributes> = defineOp<DropoutAttributes>({
  name: 'Dropout',
  forward(g, [x, first, second], { rate, name }) {
    const bits = randomBits(g, [first!, second!], name, x!.shape[1] as number);
    const limit = g.constant('int32', [], [Math.round(2 ** 32 * rate) - 2 ** 31]);
    const dropped = g.node('Less', [bits, limit]);
    return [kept(g, dropped, x!, rate), dropped];
  },
  backward: (g, { saved: [dropped], attributes: { rate }, dy }) => [() => kept(g, dropped!, dy, rate), null, null],
});

function kept(g: Graph, dropped: Value, x: Value, rate: number): Value {
  const scaled = mul(g, [x, g.scalar(1 / (1 - rate))]);
  return g.node('Where', [dropped, g.scalar(0), scaled]);
}

/** Builds uniform random numbers `[rows, width]` between -limit and limit, where `limit` is `[rows, 1]`. */
export function uniformNoise(g: Graph, keys: RowKeys, name: string, width: number, limit: Value): Value {
  const bits = randomBits(g, keys, name, width);
  const within = g.float32(() => mul(g, [g.node('Cast', [bits], { to: { int: 1 } }), g.scalar(2 ** -31)]));
  return mul(g, [within, limit]);
}
