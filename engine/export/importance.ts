/**
 * Measures the importance of the columns of every matrix: the mean square of their inputs over rows of data, which llama.cpp
 * calls an importance matrix. Quantization then spends its precision on the columns that are used. As in llama.cpp, the output
 * head and the embedding have none.
 */
import type { WeightedAdapter } from '../adapters/delta.ts';
import { adapterFeeds, adapterInputs, noSlots, slotsFor, type AdapterSlots } from '../decoder/adapter-inputs.ts';
import { decoder } from '../decoder/decoder.ts';
import type { WeightFiles } from '../decoder/weights.ts';
import { only, sequenceFeeds, sequenceInputs } from '../decoder/sequence.ts';
import { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import { encodeModel } from '../graph/onnx.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { linear } from '../graph/ops/matmul.ts';
import { reduceSum } from '../graph/ops/reduce.ts';
import type { OpenModel } from '../models/open.ts';
import { contextOf } from '../models/positions.ts';
import type { DecoderSpec } from '../models/spec.ts';
import type { OpenSession } from '../runtime/session.ts';
import type { OnProgress } from './progress.ts';

/** Holds the importance of each column, by the name of the matrix (`model.layers.0.mlp.up_proj.weight`). */
export type Importance = ReadonlyMap<string, Float32Array>;

/** Users of llama.cpp usually measure with a hundred times 512 tokens; even fewer tell the columns apart. */
export const importanceBounds = { rows: 128, tokensPerRow: 512 };

export interface ImportanceRequest {
  readonly model: OpenModel;
  readonly adapters: readonly WeightedAdapter[];
  /** Lists the token ids of each row; rows beyond 128, and tokens of a row beyond 512, are left out. */
  readonly rows: readonly Int32Array[];
  readonly threads: number;
  readonly cacheDir: string;
  readonly openSession: OpenSession;
  readonly onRow: OnProgress;
}

/** Runs a forward pass over the rows and returns the mean square of each column's inputs per token. */
export async function measureImportance(request: ImportanceRequest): Promise<Importance> {
  const { model, adapters, threads, cacheDir, openSession, onRow } = request;
  const longest = Math.min(importanceBounds.tokensPerRow, contextOf(model.spec));
  const rows = request.rows.slice(0, importanceBounds.rows).map((row) => row.slice(0, longest));
  const slots = slotsFor(adapters, noSlots);
  const { graph, sums } = squaresGraph(model.spec, await model.weights.files(cacheDir), slots);
  const adapted = adapterFeeds(model, slots, adapters);
  const names = graph.inputs.map(({ name }) => name);
  const session = await openSession(encodeModel(graph), { threads, provider: 'cpu', prepack: false });
  const totals = new Map<string, Float64Array>();
  let tokens = 0;
  try {
    for (const [done, inputIds] of rows.entries()) {
      await onRow(done, rows.length);
      const feeds = { ...adapted, ...sequenceFeeds(model.spec, { inputIds, time: inputIds.length, past: 0 }) };
      const result = await session.run(only(names, feeds));
      for (const output of graph.outputs.keys()) {
        const squares = result[output]!.data as Float32Array;
        const total = totals.get(output) ?? new Float64Array(squares.length);
        totals.set(output, total);
        squares.forEach((value, i) => (total[i]! += value));
      }
      tokens += inputIds.length;
    }
  } finally {
    await session.release();
  }
  const means = new Map([...totals].map(([output, total]) => [output, Float32Array.from(total, (value) => value / tokens)]));
  return new Map([...sums].map(([name, output]) => [name, means.get(output)!]));
}

/** Builds a forward pass whose outputs are sums of squares over the tokens; `sums` maps each matrix to its output. */
function squaresGraph(
  spec: DecoderSpec,
  files: WeightFiles,
  slots: AdapterSlots,
): { readonly graph: Graph; readonly sums: ReadonlyMap<string, string> } {
  const g = new Graph();
  const sequence = sequenceInputs(g, spec, { batch: 'batch', tokens: 'tokens', keys: 'time', queryBlocks: 1 });
  const adapted = adapterInputs(g, spec, files, slots);
  const sums = new Map<string, string>();
  // Queries, keys and values read the same numbers, and so do gate and up.
  const outputs = new Map<Value, string>();
  const observed = (path: string, x: Value, bias: Value | null): Value => {
    const known = outputs.get(x);
    const output = known ?? `squares.${path}`;
    if (known === undefined) {
      outputs.set(x, output);
      g.output(output, reduceSum(g, [mul(g, [x, x])], { axes: [0] }));
    }
    sums.set(`${path}.weight`, output);
    return linear(g, x, adapted.weight(`${path}.weight`), bias, adapted.lora(path));
  };
  decoder(g, spec, sequence, { ...adapted, recompute: 0, linear: observed });
  return { graph: g, sums };
}
