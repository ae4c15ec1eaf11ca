/**
 * Defines the loop. Its body sees one slice of the first axis of the last `num_scan_inputs` inputs at a time, and its outputs
 * are stacked. The inputs before those are states, which pass from one turn to the next and come out first.
 */
import { assert } from '../../problem.ts';
import type { Attributes, GraphParts, Value } from '../node.ts';
import { joined, reshape, slices } from './lowering.ts';
import { int, type NodeType } from './node-type.ts';
import { size } from './tensor.ts';

function parts(inputs: number, { body, num_scan_inputs: scanned }: Attributes): { body: GraphParts; states: number } {
  assert(body !== undefined && 'graph' in body, 'a Scan without a body');
  return { body: body.graph, states: inputs - int(scanned, inputs) };
}

export const scanNodes = {
  Scan: {
    domain: '',
    outputs: ({ inputs, attributes }) => {
      const { body, states } = parts(inputs.length, attributes);
      const turns = inputs[states]!.shape[0]!;
      return [...body.outputs.values()].map(({ dtype, shape }, i) => ({
        dtype,
        shape: i < states ? shape : [turns, ...shape],
      }));
    },
    memory: 'own',
    cost: 'dear',
    // The loop is over chunks of the loss.
    precision: 'float32',
    // The iterations are unrolled one by one.
    lowering: (lowering, inputs, node) => {
      const { g } = lowering;
      const { body, states: handed } = parts(inputs.length, node.attributes);
      const turns = inputs[handed]!.shape[0] as number;
      const sliced = inputs.slice(handed).map((input) => slices(g, input, turns));
      let states: readonly Value[] = inputs.slice(0, handed);
      const gathered: Value[][] = [...body.outputs.values()].slice(handed).map(() => []);
      for (let turn = 0; turn < turns; turn++) {
        const results = lowering.unrolled(body, turn, [...states, ...sliced.map((part) => part[turn]!)]);
        states = results.slice(0, handed);
        results.slice(handed).forEach((result, i) => gathered[i]!.push(reshape(g, result, [1, ...result.shape])));
      }
      return [...states, ...gathered.map((results) => joined(g, results))];
    },
    kernel: (inputs, { attributes }, run) => {
      const { body, states } = parts(inputs.length, attributes);
      const turns = inputs[states]!.dims[0]!;
      let carried = inputs.slice(0, states);
      const results = Array.from({ length: turns }, (_, turn) => {
        const own = inputs.slice(states).map((x) => {
          const width = size(x.dims.slice(1));
          return { dims: x.dims.slice(1), data: x.data.slice(turn * width, (turn + 1) * width) };
        });
        const result = run(body, [...carried, ...own]);
        carried = result.slice(0, states);
        return result.slice(states);
      });
      const stacked = (results[0] ?? []).map((first, i) => ({
        dims: [turns, ...first.dims],
        data: Float64Array.from(results.flatMap((result) => [...result[i]!.data])),
      }));
      return [...carried, ...stacked];
    },
  },
} satisfies Readonly<Record<string, NodeType>>;
