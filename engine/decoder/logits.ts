/** Logits of a model at positions of a row, with the adapters that are asked for: one session serves the base and what stands on it. */
import type { WeightedAdapter } from '../adapters/delta.ts';
import { Graph } from '../graph/graph.ts';
import { encodeModel } from '../graph/onnx.ts';
import type { OpenModel } from '../models/open.ts';
import type { DecoderSpec } from '../models/spec.ts';
import type { GraphSession, OpenSession, TensorValue } from '../runtime/session.ts';
import { adapterFeeds, adapterInputs, noSlots, slotsFor, type AdapterSlots } from './adapter-inputs.ts';
import { decoder, logits } from './decoder.ts';
import { int64, only, sequenceFeeds, sequenceInputs } from './sequence.ts';
import type { WeightFiles } from './weights.ts';

export interface LogitsOptions {
  readonly threads: number;
  readonly cacheDir: string;
  readonly openSession: OpenSession;
}

export class LogitsRunner {
  readonly #model: Pick<OpenModel, 'spec' | 'weights'>;
  readonly #session: GraphSession;
  readonly #slots: AdapterSlots;
  readonly #inputs: readonly string[];

  private constructor(
    model: Pick<OpenModel, 'spec' | 'weights'>,
    session: GraphSession,
    slots: AdapterSlots,
    inputs: readonly string[],
  ) {
    this.#model = model;
    this.#session = session;
    this.#slots = slots;
    this.#inputs = inputs;
  }

  /** `adapters`: all that will be asked for. */
  static async open(
    model: Pick<OpenModel, 'spec' | 'weights'>,
    adapters: readonly WeightedAdapter[],
    { threads, cacheDir, openSession }: LogitsOptions,
  ): Promise<LogitsRunner> {
    const slots = slotsFor(adapters, noSlots);
    const graph = build(model.spec, await model.weights.files(cacheDir), slots);
    const session = await openSession(encodeModel(graph), { threads, provider: 'cpu', prepack: false });
    const inputs = graph.inputs.map(({ name }) => name);
    return new LogitsRunner(model, session, slots, inputs);
  }

  /** What these adapters are to the session, made once for all rows; none is the base. */
  feeds(adapters: readonly WeightedAdapter[]): Record<string, TensorValue> {
    return adapterFeeds(this.#model, this.#slots, adapters);
  }

  /** `[positions, vocabulary]` */
  async run(
    inputIds: Int32Array,
    positions: readonly number[],
    adapters: Readonly<Record<string, TensorValue>>,
  ): Promise<Float32Array> {
    const feeds = {
      ...adapters,
      ...sequenceFeeds(this.#model.spec, { inputIds, time: inputIds.length, past: 0 }),
      rows: int64([...positions], [positions.length]),
    };
    return (await this.#session.run(only(this.#inputs, feeds)))['logits']!.data as Float32Array;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

function build(spec: DecoderSpec, files: WeightFiles, slots: AdapterSlots): Graph {
  const g = new Graph();
  const sequence = sequenceInputs(g, spec, { batch: 'batch', tokens: 'tokens', keys: 'time', queryBlocks: 1 });
  const rows = g.input('rows', 'int64', ['rows']);
  const options = { ...adapterInputs(g, spec, files, slots), recompute: 0 };
  g.output('logits', logits(g, spec, decoder(g, spec, sequence, options), rows, options));
  return g;
}
