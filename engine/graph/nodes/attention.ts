/** Defines nodes of ONNX Runtime that only attention uses. */
import { commonType, int, plain, type NodeType } from './node-type.ts';

export const attentionNodes = {
  RotaryEmbedding: {
    domain: 'com.microsoft',
    outputs: ({ inputs: [x, , cos, sin] }) => [{ dtype: commonType([x!, cos!, sin!]), shape: x!.shape }],
    memory: 'own',
    cost: 'cheap',
    lowering: 'same',
    precision: 'any',
    kernel: plain(([x, position, cos, sin], { num_heads, rotary_embedding_dim, interleaved }) => {
      const neighbours = int(interleaved, 0) === 1;
      const time = x!.dims[1]!;
      const headDim = x!.dims[2]! / int(num_heads, 1);
      const half = int(rotary_embedding_dim, headDim) / 2;
      const data = x!.data.map((value, flat) => {
        const inHead = flat % headDim;
        if (inHead >= 2 * half) return value;
        const t = Math.floor(flat / x!.dims[2]!) % time;
        const angle = (position!.data[0]! + t) * half + (neighbours ? inHead >> 1 : inHead % half);
        const first = neighbours ? inHead % 2 === 0 : inHead < half;
        const step = neighbours ? 1 : half;
        const partner = first ? -x!.data[flat + step]! : x!.data[flat - step]!;
        return value * cos!.data[angle]! + partner * sin!.data[angle]!;
      });
      return { dims: x!.dims, data };
    }),
  },
  /**
   * Occurs only in exported models. It reads queries, keys and values of these tokens, both caches, and the number of keys of
   * each row.
   */
  GroupQueryAttention: {
    domain: 'com.microsoft',
    // Only the caller knows the name of the length of the two longer caches.
    outputs: ({ inputs: [query, , , pastKeys, pastValues] }) => [
      { dtype: query!.dtype, shape: query!.shape },
      { dtype: pastKeys!.dtype, shape: null },
      { dtype: pastValues!.dtype, shape: null },
    ],
    kernel: null,
    memory: 'own',
    cost: 'dear',
    lowering: 'same',
    precision: 'any',
  },
} satisfies Readonly<Record<string, NodeType>>;
