/** Runs an exported ONNX folder, to compare it with its source. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AdaptedModule } from '../../adapters/adapter.ts';
import { float32, int64, only } from '../../decoder/sequence.ts';
import { readOnnxAdapter } from '../../formats/onnx-adapter.ts';
import { encodeModel } from '../../graph/onnx.ts';
import type { OpenModel } from '../../models/open.ts';
import { blockState, type DecoderSpec } from '../../models/spec.ts';
import { Problem } from '../../problem.ts';
import type { GraphSession, OpenSession, TensorValue } from '../../runtime/session.ts';
import { onnxAdapterName, onnxModelFile } from './folder.ts';
import { buildOnnxGraph, pastName } from './graph.ts';
import { WeightStore, type OnnxPrecision } from './weights.ts';

/** Computes logits with an exported ONNX model; it must be released afterwards. */
export class OnnxRunner {
  readonly #spec: DecoderSpec;
  readonly #session: GraphSession;
  /** Holds further inputs: the factors of the adapter beside the model, if there is one. */
  readonly #adapter: Readonly<Record<string, TensorValue>>;

  private constructor(spec: DecoderSpec, session: GraphSession, adapter: Readonly<Record<string, TensorValue>>) {
    this.#spec = spec;
    this.#session = session;
    this.#adapter = adapter;
  }

  static async open(
    folder: string,
    precision: OnnxPrecision,
    model: Pick<OpenModel, 'spec' | 'weights'>,
    adapted: readonly AdaptedModule[],
    { threads, openSession }: { readonly threads: number; readonly openSession: OpenSession },
  ): Promise<OnnxRunner> {
    const models = join(folder, 'onnx');
    const written = readFileSync(join(models, onnxModelFile(precision)));
    const factors = adapted.length === 0 ? [] : readOnnxAdapter(join(folder, onnxAdapterName));
    const adapter = Object.fromEntries(factors.map(({ name, shape, values }) => [name, float32(values, shape)]));
    const bytes = adapted.length === 0 ? written : withoutDefaults(written, model, precision, adapted);
    const session = await openSession(bytes, { threads, provider: 'cpu', externalFolder: models });
    return new OnnxRunner(model.spec, session, adapter);
  }

  /** Computes the logits `[positions, vocabulary]` of one row without a cache. */
  async logits(inputIds: Int32Array, positions: readonly number[]): Promise<Float32Array> {
    const { blocks, vocabularySize, ropes, learnedPositions } = this.#spec;
    const time = inputIds.length;
    const feeds: Record<string, TensorValue> = {
      input_ids: int64(inputIds, [1, time]),
      attention_mask: int64(new Int32Array(time).fill(1), [1, time]),
      position_ids: int64([...inputIds.keys()], [1, time]),
    };
    blocks.forEach((block, layer) => {
      for (const { name, shape } of blockState(block)) {
        const dims = [1, ...shape.map((extent) => (extent === 'tokens' ? 0 : extent))];
        const size = dims.reduce((product, extent) => product * extent, 1);
        feeds[pastName(layer, name)] = float32(new Float32Array(size), dims);
      }
    });
    const asked = Object.keys(feeds).filter((name) => name !== 'position_ids' || ropes.length > 0 || learnedPositions !== null);
    const result = await this.#session.run({ ...only(asked, feeds), ...this.#adapter });
    const all = result['logits']!.data as Float32Array;
    const chosen = new Float32Array(positions.length * vocabularySize);
    positions.forEach((t, i) => chosen.set(all.subarray(t * vocabularySize, (t + 1) * vocabularySize), i * vocabularySize));
    return chosen;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

/**
 * Returns the graph that was written, but with its factors as required inputs: onnxruntime-node passes no value for an input
 * with a default, which they have in the file. A comparison of the bytes makes sure that the rest is the same.
 */
function withoutDefaults(
  written: Buffer,
  { spec, weights }: Pick<OpenModel, 'spec' | 'weights'>,
  precision: OnnxPrecision,
  adapted: readonly AdaptedModule[],
): Uint8Array {
  const store = new WeightStore(`${onnxModelFile(precision)}_data`, spec, weights, precision);
  const graph = buildOnnxGraph(spec, store, adapted);
  if (!written.equals(encodeModel(graph, (path) => path)))
    throw new Problem(
      'file-damaged',
      `The graph of '${onnxModelFile(precision)}' differs from the one that should have been written.`,
      'Export it again.',
    );
  graph.emptyInputs.clear();
  return encodeModel(graph, (path) => path);
}
