/** Job `evaluate`: the loss of a model, with an adapter or without, on rows. */
import type { EvaluateResult, JobSpec } from '../contract.ts';
import { openModel } from '../models/open.ts';
import { longestRow, longestPack } from '../training/batches.ts';
import { evaluateRows } from '../training/loop.ts';
import { noAdapterShape } from '../training/lora/adapter.ts';
import { openAdapted } from '../training/lora/adapted.ts';
import { attentionBlocksFor } from '../training/step.ts';
import { loadRows, openTrainStep, tokenizerOf } from './load.ts';
import type { JobPort } from './port.ts';

export async function runEvaluate(spec: Extract<JobSpec, { kind: 'evaluate' }>, port: JobPort): Promise<EvaluateResult> {
  const given = spec.adapterPath === null ? [] : [{ path: spec.adapterPath, weight: 1 }];
  const { model, adapters, notes } = openAdapted(openModel(spec.modelPath, spec.acceptFields), given);
  const adapter = adapters[0]?.adapter;
  const { rows } = await loadRows(spec.dataPaths, model, tokenizerOf(model), {
    ...spec.rowSettings,
    skipBadRows: false,
    keepText: false,
  });
  const step = await openTrainStep(model, adapter?.shape ?? noAdapterShape, {
    recompute: 0,
    attentionBlocks: attentionBlocksFor(longestPack(longestRow(rows))),
    cacheDir: spec.cacheDir,
  });
  try {
    const parameters = adapter?.parameters ?? new Float32Array(0);
    const work = { step, stopRequested: () => port.stopRequested };
    const {
      loss,
      supervisedTokens,
      rows: each,
    } = await evaluateRows(work, rows, { packing: true, batchSize: 1 }, parameters, (done) =>
      port.send({
        type: 'progress',
        progress: { phase: 'Evaluating', done, total: rows.length, unit: 'rows', secondsLeft: null },
      }),
    );
    const byRow = Map.groupBy(each.keys(), (i) => rows[i]!.index);
    return {
      loss,
      perplexity: Math.exp(loss),
      supervisedTokens,
      rows: [...byRow.values()].map((own) => joined(own.map((i) => each[i]!))),
      notes,
    };
  } finally {
    await step.release();
  }
}

/** The loss of a row that is several examples: the mean over the supervised tokens of them all. */
function joined(examples: EvaluateResult['rows']): EvaluateResult['rows'][number] {
  const supervisedTokens = examples.reduce((sum, example) => sum + example.supervisedTokens, 0);
  const loss = examples.reduce((sum, example) => sum + example.loss * example.supervisedTokens, 0);
  // A single example keeps its loss bit for bit.
  return examples.length === 1 ? examples[0]! : { loss: loss / Math.max(1, supervisedTokens), supervisedTokens };
}
