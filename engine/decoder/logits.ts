/** Computes the logits of a model at chosen positions of a row. One session serves the base and all adapters on it. */
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

/** Runs whole rows through a model, with adapters or without, and returns logits. */
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

  /** Opens a session for a model and for all `adapters` that `feeds` will be asked for. */
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

  /** Returns the inputs for these adapters, to be used for any number of rows; an empty list is the base. */
  feeds(adapters: readonly WeightedAdapter[]): Record<string, TensorValue> {
    return adapterFeeds(this.#model, this.#slots, adapters);
  }

  /** Returns the logits `[positions, vocabulary]` of one row at these positions, counted from 0. */
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
