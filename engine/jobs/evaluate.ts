/** Job `evaluate`: the loss of a model, with an adapter or without, on rows. */
import type { EvaluateResult, JobSpec } from '../contract.ts';
import { today } from '../data/day.ts';
import { openModel } from '../models/open.ts';
import { positionLimit } from '../models/positions.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import { evaluateExamples, type ExamplesLoss } from '../training/evaluation.ts';
import { examplesOf, longestSequence, type TokensOfRow } from '../training/examples.ts';
import { noAdapterShape } from '../adapters/adapter.ts';
import { openAdapted } from '../adapters/adapted.ts';
import { contextNotes } from '../training/notes.ts';
import { attentionBlocksFor, longestPack } from '../training/step-sizes.ts';
import { loadRows, openTrainStep, tokenizerOf } from './load.ts';
import type { JobPort } from './port.ts';
import { dayOfAdapter } from './run-folder.ts';

export async function runEvaluate(spec: Extract<JobSpec, { kind: 'evaluate' }>, port: JobPort): Promise<EvaluateResult> {
  const given = spec.adapterPath === null ? [] : [{ path: spec.adapterPath, weight: 1 }];
  const { model, adapters, notes } = openAdapted(openModel(spec.modelPath, spec.acceptFields), given);
  const adapter = adapters[0]?.adapter;
  const reading = { skipBadRows: false, whole: 0, day: dayOfAdapter(spec.adapterPath) ?? today() };
  const { rows } = await loadRows(spec.dataPaths, model, tokenizerOf(model), { ...spec.rowSettings, ...reading }, port);
  requirePositions(rows, model.spec);
  const examples = examplesOf(rows);
  port.send({ type: 'progress', progress: { phase: 'Preparing the weights', done: 0, total: 0, unit: '', secondsLeft: null } });
  const step = await openTrainStep(model, adapter?.shape ?? noAdapterShape, {
    recompute: 0,
    attentionBlocks: attentionBlocksFor(longestPack(longestSequence(examples))),
    cacheDir: spec.cacheDir,
  });
  try {
    const parameters = adapter?.parameters ?? new Float32Array(0);
    const {
      loss,
      supervisedTokens,
      examples: each,
    } = await evaluateExamples(examples, {
      ...{ step, parameters, recipe: { packing: true, batchSize: 1 } },
      stopRequested: () => port.stopRequested,
      onProgress: (done) =>
        port.send({
          type: 'progress',
          progress: { phase: 'Evaluating', done, total: rows.length, unit: 'rows', secondsLeft: null },
        }),
    });
    const byRow = Map.groupBy(each.keys(), (i) => rows[i]!.index);
    return {
      loss,
      perplexity: Math.exp(loss),
      supervisedTokens,
      rows: [...byRow.values()].map((own) => joined(own.map((i) => each[i]!))),
      notes: [...notes, ...contextNotes(model.spec, examples)],
    };
  } finally {
    await step.release();
  }
}

/** The loss of a row that is several examples: the mean over the supervised tokens of them all. */
function joined(examples: ExamplesLoss['examples']): EvaluateResult['rows'][number] {
  const supervisedTokens = examples.reduce((sum, example) => sum + example.supervisedTokens, 0);
  const loss = examples.reduce((sum, example) => sum + example.loss * example.supervisedTokens, 0);
  // A single example keeps its loss bit for bit.
  return examples.length === 1 ? examples[0]! : { loss: loss / Math.max(1, supervisedTokens), supervisedTokens };
}

/** A loss of rows that were cut would not be that of the rows. */
function requirePositions(rows: readonly TokensOfRow[], spec: DecoderSpec): void {
  const limit = positionLimit(spec);
  const long = rows.filter(({ inputIds }) => inputIds.length > limit);
  const [first, ...more] = long;
  if (first === undefined) return;
  const others = more.length === 0 ? '' : ` ${more.length} more of ${rows.length} rows are too long as well.`;
  throw new Problem(
    'row-too-long',
    `${first.file}, line ${first.line}: the row has ${first.inputIds.length} tokens, and the model has ${limit} positions.${others}`,
    'Shorten these rows, or use a model with a longer context.',
    { line: first.line },
  );
}
