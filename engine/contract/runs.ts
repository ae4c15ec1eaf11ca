/** Runs: what is asked for, planned, measured and kept. */
import type { Measures, MeasureTotals } from '../measures.ts';
import type { ProblemValue } from '../problem.ts';
import type { Recipe, RecipeInput } from '../recipe.ts';
import type { Verdict } from './answers.ts';
import type { DataRef } from './data.ts';
import type { Provider } from './machine.ts';
import type { ModelAt, ModelRef, Ref } from './models.ts';

/** `paused` and `stopped` both end with a checkpoint; a paused run is one that somebody means to go on with. */
export type RunState = 'queued' | 'running' | 'paused' | 'done' | 'stopped' | 'interrupted' | 'failed';
export interface Run {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  /** 1 to 8: the run's colour on every screen. */
  readonly colour: number;
  readonly state: RunState;
  readonly phase: string;
  readonly modelId: string | null;
  readonly modelName: string;
  readonly modelPath: string;
  readonly datasetId: string | null;
  readonly datasetName: string;
  /** Of the data set, as it was trained on; null where its files were named by their paths, and once the data set is removed. */
  readonly versionId: string | null;
  /** The number of that version within its data set, from 1; null where files were named by their paths. It stays when the data set is removed. */
  readonly version: number | null;
  readonly recipe: Recipe;
  readonly device: Provider;
  readonly out: string;
  readonly step: number;
  readonly totalSteps: number;
  readonly secondsLeft: number | null;
  /** Training time so far, over all its sessions. */
  readonly seconds: number;
  readonly lastLoss: number | null;
  /** What its evaluations have measured so far, by the name of the measure. */
  readonly measures: MeasureTotals;
  readonly trainableParameters: number;
  readonly peakMemory: number;
  readonly problem: ProblemValue | null;
  readonly notes: string;
  readonly tags: readonly string[];
  readonly createdAt: number;
  readonly finishedAt: number | null;
}
/** One optimizer step; the same object is a line of metrics.jsonl. */
export interface StepMetrics {
  readonly step: number;
  /** What the objective makes smaller: of next-token training the mean over the supervised tokens of the whole step. */
  readonly loss: number;
  readonly learningRate: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  readonly supervisedTokens: number;
  readonly tokens: number;
  readonly seconds: number;
  /** The most resident bytes that the job process has had. */
  readonly memory: number;
  readonly epoch: number;
  /** What the objective tells besides the loss, by name; missing where that is nothing. */
  readonly measures?: Readonly<Record<string, number>>;
}
/** One evaluation; the same object is a line of metrics.jsonl. */
export interface EvalMetrics {
  readonly step: number;
  readonly evalLoss: number;
  /** What other evaluators measured; left out where there were none. */
  readonly measures?: Measures;
}
export type MetricRow = StepMetrics | EvalMetrics;
/** An answer to a fixed evaluation prompt at one step. */
export interface Sample {
  readonly step: number;
  readonly prompt: number;
  readonly promptText: string;
  readonly expected: string;
  readonly text: string;
  /** Null where the row expects nothing that an answer could be held against. */
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
/** How a run would look before it is started. */
export interface RunPlan {
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly matrices: number;
  readonly totalSteps: number;
  /** Estimated bytes at the peak of a step, by what they are for. */
  readonly memory: {
    readonly base: number;
    /** Parameters, gradients and moments. */
    readonly adapter: number;
    readonly activations: number;
    readonly logits: number;
    /** Of the programs themselves; once this machine has trained the model, as was measured. */
    readonly runtime: number;
  };
  /** What the newest run here that was like this one in all that takes memory really took; null before there is one. */
  readonly memoryMeasured: { readonly bytes: number; readonly measuredBy: string } | null;
  readonly memoryFree: number;
  /** From the rate that the newest run of this model reached here; null before there is one. */
  readonly time: { readonly seconds: number; readonly tokensPerSecond: number; readonly measuredBy: string } | null;
  /** What a person should know before starting it, in sentences. */
  readonly notes: readonly string[];
}
/** What a recipe trains of a model. */
export interface AdapterPlan extends Pick<RunPlan, 'trainableParameters' | 'totalParameters' | 'matrices'> {
  /** Blocks of the model. */
  readonly layers: number;
}
/** A field of a recipe changed to save memory. */
export interface FitChange {
  readonly key: string;
  readonly from: number | string;
  readonly to: number | string;
  /** What it costs, in a sentence. */
  readonly cost: string;
  /** Estimated bytes of a run with this and all changes before it. */
  readonly bytes: number;
}
/** A recipe that takes no more than a budget, or as little as it can. */
export interface FittedRecipe {
  readonly recipe: Recipe;
  /** Estimated bytes at the peak. */
  readonly bytes: number;
  readonly fits: boolean;
  readonly changes: readonly FitChange[];
}
/** What decides the graph of a training step. */
export interface TrialSubject {
  readonly model: ModelAt;
  readonly adapterPath: string | null;
  readonly recipe: RecipeInput;
}
export interface TrainRequest {
  readonly projectId?: string;
  readonly name?: string;
  readonly model: ModelRef;
  readonly data: DataRef;
  /** Adapter to go on from. */
  readonly adapter?: Ref;
  readonly recipe: RecipeInput;
  /** Folder of the run; absent: inside the data folder. */
  readonly out?: string;
  readonly device?: 'auto' | Provider;
  readonly skipBadRows?: boolean;
  /** Go on with the run found in `out`. */
  readonly resume?: boolean;
  /** The run ends when the client that asked for it goes away (the command line). */
  readonly attached?: boolean;
}
export interface RunRequests {
  'runs.list': (p: { projectId?: string }) => readonly Run[];
  'runs.get': (p: { id: string }) => Run;
  'runs.plan': (p: { model: ModelRef; data: DataRef; recipe: RecipeInput }) => RunPlan;
  /** Changes a recipe so that a run takes no more than `budget` bytes, what costs least first, and says what it costs. */
  'runs.fit': (p: { model: ModelRef; data: DataRef; recipe: RecipeInput; budget: number }) => FittedRecipe;
  'runs.start': (p: TrainRequest) => Run;
  /** Asks for a checkpoint and an end for now; `runs.resume` goes on. */
  'runs.pause': (p: { id: string }) => null;
  /** Asks for a checkpoint and an end; `force` kills the job. A paused run is stopped at once. */
  'runs.stop': (p: { id: string; force?: boolean }) => null;
  'runs.resume': (p: { id: string }) => Run;
  /** The runs that go on, first the one that trains and then those that wait, of all projects. */
  'runs.queue': () => readonly string[];
  /** Gives a run that waits another place among those that wait, from 1. Answers the new queue. */
  'runs.move': (p: { id: string; place: number }) => readonly string[];
  'runs.update': (p: { id: string; name?: string; notes?: string; tags?: readonly string[] }) => Run;
  'runs.remove': (p: { id: string }) => null;
  /** The oldest after a step, as many as fit into one answer; where there are more, ask again from the last step of these. */
  'runs.metrics': (p: { id: string; afterStep: number }) => {
    steps: readonly StepMetrics[];
    evaluations: readonly EvalMetrics[];
    more: boolean;
  };
  /** The learning rate that the recipe plans, at up to 400 steps from the first to the last. */
  'runs.schedule': (p: { id: string }) => readonly Pick<StepMetrics, 'step' | 'learningRate'>[];
  'runs.samples': (p: { id: string }) => readonly Sample[];
  /** The newest lines, as many as fit into one answer; the first says how many came before them. */
  'runs.log': (p: { id: string }) => readonly LogLine[];
  'runs.checkpoints': (p: { id: string }) => readonly Checkpoint[];
}
export interface RunEvents {
  'run.changed': Run;
  /** What `runs.queue` answers from here on. */
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
