/** Runs an exported ONNX folder, to compare it with what it was made from. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { float32, int64, only } from '../../models/sequence.ts';
import type { DecoderSpec } from '../../models/spec.ts';
import type { GraphSession, OpenSession, TensorValue } from '../../runtime/session.ts';
import { onnxModelFile } from './folder.ts';
import type { OnnxPrecision } from './weights.ts';

export class OnnxRunner {
  readonly #spec: DecoderSpec;
  readonly #session: GraphSession;

  private constructor(spec: DecoderSpec, session: GraphSession) {
    this.#spec = spec;
    this.#session = session;
  }

  static async open(
    folder: string,
    precision: OnnxPrecision,
    spec: DecoderSpec,
    { threads, openSession }: { readonly threads: number; readonly openSession: OpenSession },
  ): Promise<OnnxRunner> {
    const models = join(folder, 'onnx');
    const bytes = readFileSync(join(models, onnxModelFile(precision)));
    return new OnnxRunner(spec, await openSession(bytes, { threads, provider: 'cpu', externalFolder: models }));
  }

  /** Logits `[positions, vocabulary]` of one row, nothing cached. */
  async logits(inputIds: Int32Array, positions: readonly number[]): Promise<Float32Array> {
    const { layers, keyValueHeads, headDim, vocabularySize, ropes, learnedPositions } = this.#spec;
    const time = inputIds.length;
    const feeds: Record<string, TensorValue> = {
      input_ids: int64(inputIds, [1, time]),
      attention_mask: int64(new Int32Array(time).fill(1), [1, time]),
      position_ids: int64([...inputIds.keys()], [1, time]),
    };
    for (let layer = 0; layer < layers; layer++)
      for (const what of ['key', 'value'])
        feeds[`past_key_values.${layer}.${what}`] = float32(new Float32Array(0), [1, keyValueHeads, 0, headDim]);
    const asked = Object.keys(feeds).filter((name) => name !== 'position_ids' || ropes.length > 0 || learnedPositions !== null);
    const result = await this.#session.run(only(asked, feeds));
    const all = result['logits']!.data as Float32Array;
    const chosen = new Float32Array(positions.length * vocabularySize);
    positions.forEach((t, i) => chosen.set(all.subarray(t * vocabularySize, (t + 1) * vocabularySize), i * vocabularySize));
    return chosen;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
