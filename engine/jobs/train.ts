/** Runs the job `train`, which makes a run folder with an adapter from paths and a recipe. */
import type { Adapter } from '../adapters/adapter.ts';
import { describeAdapter, writeAdapter } from '../adapters/folder.ts';
import { plainAdapter } from '../adapters/plain.ts';
import { partNames } from '../data/row-files.ts';
import { Problem, toProblemValue } from '../problem.ts';
import { openSession } from '../runtime/session.ts';
import { LearningWatch } from '../training/learning-watch.ts';
import { saveCheckpoint } from '../training/checkpoint.ts';
import { lossesByRow } from '../training/evaluation.ts';
import { train } from '../training/loop.ts';
import { parameterGroups } from '../training/rates.ts';
import { largestBatch } from '../training/step-sizes.ts';
import { TrainStep } from '../training/step.ts';
import { runIdentity } from './run-identity.ts';
import type { JobPort } from './port.ts';
import { prepareRun, type PreparedRun, type TrainSpec } from './prepare-run.ts';
import { reportPhase } from './progress.ts';
import { RunWriter } from './run-writer.ts';
import { addSamples } from './samples.ts';
import { TrainReports } from './train-reports.ts';

export interface TrainResult {
  readonly adapterPath: string;
  readonly steps: number;
  readonly lastLoss: number | null;
  readonly evalLoss: number | null;
}

export async function runTrain(spec: TrainSpec, port: JobPort): Promise<TrainResult> {
  const folder = new RunWriter(spec.out, () => port.send({ type: 'written', slowestStep: 0 }));
  let isUnderway = false;
  const begin = () => {
    isUnderway = true;
    port.send({ type: 'underway' });
  };
  const work = async () => executeRun(await prepareRun(spec, folder, port), { folder, cacheDir: spec.cacheDir, port, begin });
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  // Nothing is lost before the first step, so a stop ends the run wherever it is.
  void port.untilStopped().then(() => isUnderway || reject(stoppedBefore()));
  try {
    const result = await Promise.race([work(), stopped]);
    folder.end('done', null);
    return result;
  } catch (error) {
    folder.discardUnbegun();
    const problem = toProblemValue(error);
    if (problem.code === 'stopped') folder.end('stopped', null);
    else folder.end('failed', problem);
    throw error;
  } finally {
    folder.close();
  }
}

function stoppedBefore(): Problem {
  return new Problem('stopped', 'The run was stopped before its first step.', 'Start it again.');
}

/** Says where a run is executed. */
interface Surroundings {
  readonly folder: RunWriter;
  readonly cacheDir: string;
  readonly port: JobPort;
  /** Is called at the point from which a stop leaves a checkpoint. */
  begin(): void;
}

/** Writes the record of a run, trains it until its end or a stop, and leaves its adapter in the folder. */
async function executeRun(run: PreparedRun, { folder, cacheDir, port, begin }: Surroundings): Promise<TrainResult> {
  const { recipe, model, tokenizer, data, evaluation, record, start } = run;
  const { adapter, adam, plan } = start;
  if (port.stopRequested) throw stoppedBefore();
  await folder.hold();
  folder.write(record);
  const identity = runIdentity(record);
  folder.begin(start.step, run.longest);
  for (const text of run.notes) folder.log(text);

  const samples = async (step: number, trained: Adapter | null) => {
    if (tokenizer === null || evaluation === null) return;
    reportPhase(port, 'Answering evaluation prompts');
    await addSamples(step, model, tokenizer, evaluation.loaded.whole, trained, { ...plan, cacheDir }, { folder, port });
  };
  reportPhase(port, 'Preparing the weights');
  if (start.step === 0) await samples(0, run.given);
  const trainStep = await TrainStep.open(model, adapter.shape, {
    ...recipe,
    ...plan,
    initial: adapter.initial,
    largest: largestBatch(recipe, run.longest),
    cacheDir,
    openSession,
  });
  const reports = new TrainReports(port, folder, run.totalSteps);
  const watch = new LearningWatch(model.spec.vocabularySize);
  const evalExamples = evaluation?.prepared.examples ?? [];
  let seconds = start.seconds;
  try {
    begin();
    reports.begin(start.step);
    await train({
      ...{ step: trainStep, objective: run.objective, recipe, examples: data.prepared.examples, evalExamples },
      parameters: adapter.parameters,
      partNames: evaluation === null ? [] : partNames(evaluation.files),
      groups: parameterGroups(adapter.shape, recipe),
      adam,
      stepsDone: start.step,
      totalSteps: run.totalSteps,
      evaluated: folder.hasEvaluation(start.step),
      stopRequested: () => port.stopRequested,
      onStep: (row) => {
        seconds += row.seconds;
        reports.step(row);
        const notice = watch.step(row);
        if (notice !== null) folder.log(notice);
      },
      onEvaluating: (done) => reports.evaluating(done, evalExamples.length),
      onEvaluation: (row, losses) => {
        reports.evaluation(row);
        folder.rowLosses({ step: row.step, rows: [...lossesByRow(evalExamples, losses)] });
      },
      save: (step) => {
        folder.flush();
        folder.requireThere();
        const checkpoint = saveCheckpoint(
          folder.checkpoints,
          { step, seconds, adapter, plain: plainAdapter(adapter, model.spec), adam, plan, run: identity },
          recipe.keepCheckpoints,
        );
        reports.flush();
        folder.checkpoint(checkpoint);
      },
    });
  } finally {
    reports.flush();
    await trainStep.release();
  }

  reportPhase(port, 'Saving the adapter');
  const trained = plainAdapter(adapter, model.spec);
  folder.requireThere();
  const file = writeAdapter(folder.adapter, trained, { tokenizer: model.tokenizerFolder === null ? null : tokenizer });
  folder.published(run.totalSteps, describeAdapter(trained, file));
  await samples(run.totalSteps, trained);
  folder.write({ ...record, finishedAt: new Date().toISOString() });
  return { adapterPath: folder.adapter, steps: run.totalSteps, lastLoss: reports.lastLoss, evalLoss: reports.lastEvalLoss };
}
