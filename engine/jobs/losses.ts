/**
 * Runs the job `losses`, which tells how well a model, with and without an adapter, predicts the trained tokens of a row that somebody
 * looks at. It keeps the model open between requests.
 */
import { noAdapterShape } from '../adapters/adapter.ts';
import { openAdapted } from '../adapters/adapted.ts';
import type { AdapterAt, JobRequest, JobSpec, RowLosses } from '../contract.ts';
import { type LabelledTokens, supervisedTokens } from '../labels.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { positionLimit } from '../models/positions.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import { stampOf } from '../formats/files.ts';
import { Problem } from '../problem.ts';
import { toPackedBatch } from '../training/micro-batch.ts';
import { attentionBlocksFor, longestPack } from '../training/step-sizes.ts';
import { TrainStep } from '../training/step.ts';
import type { JobAsker, JobPort } from './port.ts';

type LossesRequest = Extract<JobRequest, { name: 'losses' }>;

export async function runLosses(spec: Extract<JobSpec, { kind: 'losses' }>, port: JobPort): Promise<null> {
  const scorer = new Scorer(openModel(spec.model.path, spec.model.acceptFields), spec.cacheDir);
  // One at a time: a row is computed on all cores.
  let turn: Promise<unknown> = Promise.resolve();
  port.onRequest((request, asker) => {
    if (request.name !== 'losses')
      throw new Problem('request-invalid', `Losses of tokens do not answer '${request.name}'.`, 'Ask the data process.');
    const answer = turn.then(() => scorer.losses(request, asker));
    turn = answer.catch(() => {});
    return answer;
  });
  await port.untilStopped();
  await turn;
  await scorer.release();
  return null;
}

/** The model alone, or with an adapter, as it is open. */
interface Opened {
  readonly key: string;
  readonly step: TrainStep;
  readonly parameters: Float32Array;
}

class Scorer {
  readonly #model: OpenModel;
  readonly #cacheDir: string;
  readonly #opened = new Map<'base' | 'adapted', Opened>();

  constructor(model: OpenModel, cacheDir: string) {
    this.#model = model;
    this.#cacheDir = cacheDir;
  }

  async losses({ adapter, rows }: LossesRequest, { signal }: Pick<JobAsker, 'signal'>): Promise<RowLosses> {
    const limit = positionLimit(this.#model.spec);
    const examples = rows.map(({ inputIds, labels }) => ({
      inputIds: Int32Array.from(inputIds.slice(0, limit)),
      labels: Int32Array.from(labels.slice(0, limit)),
    }));
    const of = async (at: AdapterAt | null): Promise<number[][]> => {
      const losses: number[][] = [];
      for (const example of examples) {
        if (signal.aborted) throw new Problem('stopped', 'Stopped, as asked.', 'Choose the row again.');
        losses.push(await this.#lossesOf(example, at));
      }
      return losses;
    };
    return { base: await of(null), adapted: adapter === null ? null : await of(adapter) };
  }

  async #lossesOf(example: LabelledTokens, adapter: AdapterAt | null): Promise<number[]> {
    if (supervisedTokens(example.labels) === 0) return [];
    const { step, parameters } = await this.#open(adapter, example.inputIds.length);
    return [...(await step.evaluate(toPackedBatch([example]), parameters)).tokenLoss];
  }

  /** Opens the model, alone or with an adapter, for rows of a length. The one that was open in its place is closed. */
  async #open(adapter: AdapterAt | null, length: number): Promise<Opened> {
    const place = adapter === null ? 'base' : 'adapted';
    const attentionBlocks = attentionBlocksFor(longestPack(length));
    const key = JSON.stringify([attentionBlocks, adapter, adapter && stampOf([adapter.path])]);
    const open = this.#opened.get(place);
    if (open?.key === key) return open;
    this.#opened.delete(place);
    await open?.step.release();
    const { model, adapters } = openAdapted(this.#model, adapter === null ? [] : [adapter]);
    const own = adapters[0]?.adapter;
    const options = { threads: cpuThreads(), recompute: 0, attentionBlocks, cacheDir: this.#cacheDir, openSession };
    const step = await TrainStep.open(model, own?.shape ?? noAdapterShape, options);
    const opened = { key, step, parameters: own?.parameters ?? new Float32Array(0) };
    this.#opened.set(place, opened);
    return opened;
  }

  async release(): Promise<void> {
    for (const { step } of this.#opened.values()) await step.release();
    this.#opened.clear();
  }
}
