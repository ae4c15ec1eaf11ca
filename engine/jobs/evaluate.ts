/** Job `evaluate`: the loss of a model, with an adapter or without, on rows. */
import type { EvaluateResult, JobSpec } from '../contract.ts';
import { openModel } from '../models/open.ts';
import { longestRow, longestPack } from '../training/batches.ts';
import { evaluateRows } from '../training/loop.ts';
import { noAdapterShape } from '../training/lora/adapter.ts';
import { readAdapter } from '../training/lora/folder.ts';
import { attentionBlocksFor } from '../training/step.ts';
import { loadRows, openTrainStep, tokenizerOf } from './load.ts';
import type { JobPort } from './port.ts';

export async function runEvaluate(spec: Extract<JobSpec, { kind: 'evaluate' }>, port: JobPort): Promise<EvaluateResult> {
  const model = openModel(spec.modelPath, spec.acceptFields);
  const adapter = spec.adapterPath === null ? null : readAdapter(spec.adapterPath, model.spec);
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
    return { loss, perplexity: Math.exp(loss), supervisedTokens, rows: each };
  } finally {
    await step.release();
  }
}
