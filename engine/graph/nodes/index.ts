/** Lists the node types. A type without a row in this table cannot be in a graph. */
import { assert } from '../../problem.ts';
import { sameShape } from '../dim.ts';
import { attentionNodes } from './attention.ts';
import { elementwiseNodes } from './elementwise.ts';
import { movingNodes } from './moving.ts';
import type { Call, NodeType, Output } from './node-type.ts';
import { packedNodes } from './packed.ts';
import { productNodes } from './products.ts';
import { reductionNodes } from './reductions.ts';
import { scanNodes } from './scan.ts';

const table = {
  ...elementwiseNodes,
  ...reductionNodes,
  ...productNodes,
  ...movingNodes,
  ...attentionNodes,
  ...packedNodes,
  ...scanNodes,
} satisfies Readonly<Record<string, NodeType>>;

export type NodeTypeName = keyof typeof table;

export function nodeType(type: string): NodeType {
  assert(Object.hasOwn(table, type), `no row of the table of node types is called ${type}`);
  return table[type as NodeTypeName];
}

/** Returns the types and shapes of a node's results. A stated shape must equal the one that the rule finds, if it finds one. */
export function outputsOf(type: string, call: Call): readonly Output[] {
  return nodeType(type)
    .outputs(call)
    .map(({ dtype, shape }, i) => {
      const stated = call.stated[i];
      const found = shape ?? stated;
      assert(found !== undefined, `the shape of result ${i} of a ${type} follows from nothing: it must be stated`);
      assert(
        stated === undefined || sameShape(stated, found),
        `result ${i} of a ${type} of ${call.inputs.map((input) => `[${input.shape.join()}]`).join(', ')} is [${found.join()}], not [${stated?.join()}]`,
      );
      return { dtype, shape: found };
    });
}
