/** Defines runs: how they are requested, planned, measured and stored. */
import type { Measures, MeasureTotals } from '../measures.ts';
import type { ProblemValue } from '../problem.ts';
import type { Recipe, RecipeInput } from '../recipe.ts';
import type { OneAdapter } from './adapters.ts';
import type { Verdict } from './answers.ts';
import type { DataRef } from './data.ts';
import type { Provider } from './machine.ts';
import type { ModelAt, ModelRef, Ref } from './models.ts';

/**
 * Names the state of a run. `paused` and `stopped` both end with a checkpoint; a paused run is one that a person means to
 * resume.
 */
export type RunState = 'queued' | 'running' | 'paused' | 'done' | 'stopped' | 'interrupted' | 'failed';
export interface Run {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  /** Gives the colour of the run on every screen, 1 to 8. */
  readonly colour: number;
  readonly state: RunState;
  readonly phase: string;
  readonly modelId: string | null;
  readonly modelName: string;
  readonly modelPath: string;
  readonly datasetId: string | null;
  readonly datasetName: string;
  /**
   * Names the version of the data set that it was trained on. It is null when its files were given by their paths, and after
   * the data set was removed.
   */
  readonly versionId: string | null;
  /**
   * Numbers that version within its data set, from 1. It is null when files were given by their paths, and it stays when the
   * data set is removed.
   */
  readonly version: number | null;
  readonly recipe: Recipe;
  readonly device: Provider;
  readonly out: string;
  readonly step: number;
  readonly totalSteps: number;
  readonly secondsLeft: number | null;
  /** Gives the training time so far in seconds, over all sessions of the run. */
  readonly seconds: number;
  readonly lastLoss: number | null;
  /** Holds what its evaluations have measured so far, by the name of the measure. */
  readonly measures: MeasureTotals;
  readonly trainableParameters: number;
  readonly peakMemory: number;
  readonly problem: ProblemValue | null;
  readonly notes: string;
  readonly tags: readonly string[];
  readonly createdAt: number;
  readonly finishedAt: number | null;
}
/** Holds what one optimizer step measured; the same object is a line of metrics.jsonl. */
export interface StepMetrics {
  readonly step: number;
  /**
   * Gives the value that the objective minimizes. For next-token training it is the mean over the supervised tokens of the
   * whole step, in nats.
   */
  readonly loss: number;
  readonly learningRate: number;
  /** Gives the norm of the gradient before clipping. */
  readonly gradientNorm: number;
  readonly supervisedTokens: number;
  readonly tokens: number;
  readonly seconds: number;
  /** Gives the peak resident bytes of the job process. */
  readonly memory: number;
  readonly epoch: number;
  /** Holds what the objective measures besides the loss, by name. It is left out when the objective measures nothing else. */
  readonly measures?: Readonly<Record<string, number>>;
}
/** Holds what one evaluation measured; the same object is a line of metrics.jsonl. */
export interface EvalMetrics {
  readonly step: number;
  readonly evalLoss: number;
  /** Holds what other evaluators measured. It is left out when there were none. */
  readonly measures?: Measures;
}
export type MetricRow = StepMetrics | EvalMetrics;
/** Holds an answer to a fixed evaluation prompt after one step. */
export interface Sample {
  readonly step: number;
  readonly prompt: number;
  readonly promptText: string;
  readonly expected: string;
  readonly text: string;
  /** Holds an evaluator's verdict on the answer. It is null when the row has nothing to compare the answer with. */
  readonly verdict: Verdict | null;
}
export interface LogLine {
  readonly at: number;
  readonly text: string;
}
export interface Checkpoint {
  readonly step: number;
  readonly path: string;
  readonly bytes: number;
  readonly createdAt: number;
}
/** Says what a run would be like before it is started. */
export interface RunPlan {
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly matrices: number;
  readonly totalSteps: number;
  /** Estimates the bytes at the peak of a step, by purpose. */
  readonly memory: {
    readonly base: number;
    /** Counts parameters, gradients and the moments of the optimizer. */
    readonly adapter: number;
    readonly activations: number;
    readonly logits: number;
    /** Counts the memory of the programs themselves. It is measured once this machine has trained the model. */
    readonly runtime: number;
  };
  /**
   * Gives the bytes actually used by the newest run here that was equal to this one in everything that affects memory. It is
   * null before there is one.
   */
  readonly memoryMeasured: { readonly bytes: number; readonly measuredBy: string } | null;
  readonly memoryFree: number;
  /** Estimates the time from the rate that the newest run of this model reached here. It is null before there is one. */
  readonly time: { readonly seconds: number; readonly tokensPerSecond: number; readonly measuredBy: string } | null;
  /** Tells a person what to know before starting the run, in sentences. */
  readonly notes: readonly string[];
}
/** Says what a recipe trains of a model. */
export interface AdapterPlan extends Pick<RunPlan, 'trainableParameters' | 'totalParameters' | 'matrices'> {
  /** Counts the blocks of the model. */
  readonly layers: number;
}
/** Describes a change of a recipe field that saves memory. */
export interface FitChange {
  readonly key: string;
  readonly from: number | string;
  readonly to: number | string;
  /** Says in a sentence what the change costs. */
  readonly cost: string;
  /** Estimates the bytes of a run with this change and all changes before it. */
  readonly bytes: number;
}
/** Holds a recipe that takes no more memory than a budget, or as little as possible. */
export interface FittedRecipe {
  readonly recipe: Recipe;
  /** Estimates the bytes at the peak. */
  readonly bytes: number;
  readonly fits: boolean;
  readonly changes: readonly FitChange[];
}
/** Holds what decides the graph of a training step. */
export interface TrialSubject extends OneAdapter {
  readonly model: ModelAt;
  readonly recipe: RecipeInput;
}
export interface TrainRequest {
  readonly projectId?: string;
  readonly name?: string;
  readonly model: ModelRef;
  readonly data: DataRef;
  /** Names the adapter that training starts from. */
  readonly adapter?: Ref;
  readonly recipe: RecipeInput;
  /** Names the folder of the run. If it is left out, the run has a folder inside the data folder. */
  readonly out?: string;
  readonly device?: 'auto' | Provider;
  readonly skipBadRows?: boolean;
  /** Says that the run found in `out` is resumed. */
  readonly resume?: boolean;
  /** Says that the run ends when the client that asked for it disconnects, as the command line does. */
  readonly attached?: boolean;
}
export interface RunRequests {
  'runs.list': (p: { projectId?: string }) => readonly Run[];
  'runs.get': (p: { id: string }) => Run;
  'runs.plan': (p: { model: ModelRef; data: DataRef; recipe: RecipeInput }) => RunPlan;
  /**
   * Changes a recipe so that a run takes no more than `budget` bytes. The changes that cost least come first, and each says
   * what it costs.
   */
  'runs.fit': (p: { model: ModelRef; data: DataRef; recipe: RecipeInput; budget: number }) => FittedRecipe;
  'runs.start': (p: TrainRequest) => Run;
  /** Asks for a checkpoint and then a pause; `runs.resume` continues the run. */
  'runs.pause': (p: { id: string }) => null;
  /** Asks for a checkpoint and then an end; `force` kills the job. A paused run is stopped at once. */
  'runs.stop': (p: { id: string; force?: boolean }) => null;
  'runs.resume': (p: { id: string }) => Run;
  /** Lists the runs of all projects that are training or waiting, the training one first. */
  'runs.queue': () => readonly string[];
  /** Moves a waiting run to another position among the waiting runs, from 1. Returns the new queue. */
  'runs.move': (p: { id: string; place: number }) => readonly string[];
  'runs.update': (p: { id: string; name?: string; notes?: string; tags?: readonly string[] }) => Run;
  'runs.remove': (p: { id: string }) => null;
  /**
   * Returns the oldest metrics after a step, as many as fit into one answer. If there are more, ask again from the last of
   * these steps.
   */
  'runs.metrics': (p: { id: string; afterStep: number }) => {
    steps: readonly StepMetrics[];
    evaluations: readonly EvalMetrics[];
    more: boolean;
  };
  /** Returns the learning rate that the recipe plans, at up to 400 steps from the first to the last. */
  'runs.schedule': (p: { id: string }) => readonly Pick<StepMetrics, 'step' | 'learningRate'>[];
  'runs.samples': (p: { id: string }) => readonly Sample[];
  /** Returns the newest lines, as many as fit into one answer. The first says how many came before them. */
  'runs.log': (p: { id: string }) => readonly LogLine[];
  'runs.checkpoints': (p: { id: string }) => readonly Checkpoint[];
  /**
   * Answers the rows of the evaluation data with the highest loss in the newest evaluation, the highest first and at most 100; null where none
   * has left losses of rows.
   */
  'runs.worst': (p: { id: string }) => WorstRows | null;
}
/** Holds the rows that a model predicts worst after a step of its run. */
export interface WorstRows {
  readonly step: number;
  /** Holds the index of each row in the evaluation data, from 0, and its mean loss in nats. */
  readonly rows: readonly { readonly row: number; readonly loss: number }[];
}
export interface RunEvents {
  'run.changed': Run;
  /** Holds what `runs.queue` returns from now on. */
  'queue.changed': readonly string[];
  'run.removed': { readonly id: string };
  'run.metrics': {
    readonly runId: string;
    readonly steps: readonly StepMetrics[];
    readonly evaluations: readonly EvalMetrics[];
  };
  'run.sample': { readonly runId: string; readonly sample: Sample };
  'run.log': { readonly runId: string; readonly line: LogLine };
}
