/** Measures the loss of a model, with or without an adapter, on rows. */
import { noAdapterShape } from '../adapters/adapter.ts';
import type { AdaptedModel } from '../adapters/adapted.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { positionLimit } from '../models/positions.ts';
import { Problem } from '../problem.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import { evaluateExamples, lossesByRow } from '../training/evaluation.ts';
import { examplesOf, longestSequence, type TokensOfRow } from '../training/examples.ts';
import { attentionBlocksFor, longestPack } from '../training/step-sizes.ts';
import { TrainStep } from '../training/step.ts';
import type { JobPort } from './port.ts';
import { reportPhase } from './progress.ts';

/** Holds the mean loss in nats over all supervised tokens, and that of each row by its index. */
export interface RowLossesOf {
  readonly loss: number;
  readonly rows: ReadonlyMap<number, number>;
}

/** Computes the losses of rows. Throws a `Problem` for rows that are longer than the model has positions. */
export async function lossesOf(
  rows: readonly TokensOfRow[],
  { model, adapters }: Pick<AdaptedModel, 'model' | 'adapters'>,
  cacheDir: string,
  port: JobPort,
  phase = 'Evaluating',
): Promise<RowLossesOf> {
  requirePositions(rows, model.spec);
  const examples = examplesOf(rows);
  reportPhase(port, 'Preparing the weights');
  const adapter = adapters[0]?.adapter;
  const step = await TrainStep.open(model, adapter?.shape ?? noAdapterShape, {
    recompute: 0,
    attentionBlocks: attentionBlocksFor(longestPack(longestSequence(examples))),
    cacheDir,
    threads: cpuThreads(),
    openSession,
  });
  try {
    const parameters = adapter?.parameters ?? new Float32Array(0);
    const { loss, examples: each } = await evaluateExamples(examples, {
      ...{ step, parameters, recipe: { packing: true, batchSize: 1 } },
      stopRequested: () => port.stopRequested,
      onProgress: (done) =>
        port.send({ type: 'progress', progress: { phase, done, total: rows.length, unit: 'rows', secondsLeft: null } }),
    });
    return { loss, rows: lossesByRow(rows, each) };
  } finally {
    await step.release();
  }
}

/** Refuses rows longer than the model has positions: the loss of a truncated row is not the loss of the row. */
function requirePositions(rows: readonly TokensOfRow[], spec: DecoderSpec): void {
  const limit = positionLimit(spec);
  const long = rows.filter(({ inputIds }) => inputIds.length > limit);
  const [first, ...more] = long;
  if (first === undefined) return;
  const others = more.length === 0 ? '' : ` In all, ${long.length} of ${rows.length} rows are too long.`;
  throw new Problem(
    'row-too-long',
    `${first.file}, line ${first.line}: the row has ${first.inputIds.length} tokens, but the model has only ${limit} positions.${others}`,
    'Shorten these rows, or use a model with a longer context.',
    { line: first.line },
  );
}
