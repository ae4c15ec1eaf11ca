/** Host to job process and back. The window sees none of it but `job.progress`. */
import type { Answer, ProblemValue } from '../problem.ts';
import type { Recipe, RecipeInput } from '../recipe.ts';
import type { AdapterAt, AdapterWeight } from './adapters.ts';
import type { EvaluationSettings, GenerateRequest, GenerateSettings, ScoredAnswer } from './answers.ts';
import type { DataAt, DataFiles, ReadingRows, RowsAt, ViewingRows } from './data.ts';
import type { ExportFormat, Quantization } from './exports.ts';
import type { DeviceInfo, Progress, Provider } from './machine.ts';
import type { ModelAt } from './models.ts';
import type { TrialSubject } from './runs.ts';

export interface ExportOrigin {
  readonly exportId: string;
  /** Of each adapter, in their order. */
  readonly adapters: readonly { readonly name: string; readonly run: { readonly id: string; readonly name: string } | null }[];
}
/** Everything a job needs, as paths and numbers: a job never opens the database. */
export type JobSpec =
  | {
      readonly kind: 'train';
      readonly model: ModelAt;
      readonly data: DataAt;
      readonly adapterPath: string | null;
      /** As `AdapterAt.hash`. */
      readonly adapterHash?: string;
      readonly recipe: RecipeInput;
      readonly out: string;
      readonly device: 'auto' | Provider;
      /** The devices here, judged for a run like this one; left out: the processor alone. */
      readonly devices?: readonly DeviceInfo[];
      readonly skipBadRows: boolean;
      readonly resume: boolean;
      readonly cacheDir: string;
    }
  | ({
      readonly kind: 'evaluate';
      readonly model: ModelAt;
      readonly adapterPath: string | null;
      readonly cacheDir: string;
    } & RowsAt &
      EvaluationSettings &
      ReadingRows)
  | { readonly kind: 'chat'; readonly model: ModelAt; readonly cacheDir: string }
  | ({
      readonly kind: 'export';
      readonly model: ModelAt;
      readonly adapters: readonly AdapterAt[];
      readonly format: ExportFormat;
      readonly quantization: Quantization | null;
      readonly out: string;
      /** As in ExportRequest. */
      readonly replace?: boolean;
      readonly proof: boolean;
      /** Rows for the proof; none: built-in ones. */
      readonly rows?: RowsAt;
      /** Rows that the importance of columns is measured with; none: it is not measured. */
      readonly importance?: RowsAt;
      readonly cacheDir: string;
      /** Where it comes from, as far as the host knows; the job adds what stands in the files. */
      readonly origin?: ExportOrigin;
    } & ReadingRows)
  | { readonly kind: 'identify'; readonly path: string }
  | { readonly kind: 'data'; readonly model: ModelAt; readonly cacheDir: string }
  | {
      readonly kind: 'describe';
      readonly model: ModelAt;
      readonly adapterPath: string;
    }
  | {
      readonly kind: 'norms';
      readonly model: ModelAt;
      readonly adapterPath: string;
      /** As `AdapterAt.hash`. */
      readonly adapterHash: string;
    }
  /** Tries a device on a small model: of this make, or of the usual one. */
  | {
      readonly kind: 'trial';
      readonly provider: Provider;
      readonly subject: TrialSubject | null;
      readonly cacheDir: string;
    }
  | { readonly kind: 'inspect'; readonly path: string; readonly acceptFields?: readonly string[] }
  | { readonly kind: 'columns'; readonly path: string }
  | { readonly kind: 'scan'; readonly data: DataFiles };
/** Host to job. `request` is for the long-lived jobs (chat, data). */
export type JobCommand =
  | { readonly type: 'start'; readonly spec: JobSpec }
  | { readonly type: 'stop' }
  | { readonly type: 'request'; readonly id: number; readonly request: JobRequest }
  /** Nobody waits for the answer any more. */
  | { readonly type: 'cancel'; readonly id: number };
export type JobRequest =
  | {
      readonly name: 'generate';
      readonly adapters: readonly AdapterWeight[];
      readonly prompt: GenerateRequest['prompt'];
      readonly settings: GenerateSettings;
      readonly streamId: string;
    }
  | ({ readonly name: 'render'; readonly offset: number } & RowsAt & ViewingRows)
  /** What a recipe would adapt; what is not there adapts nothing. */
  | { readonly name: 'targets'; readonly recipe: Recipe }
  /** What a recipe would train; refused where the model does not have it. */
  | { readonly name: 'adapter'; readonly recipe: Recipe }
  /** The exports of an adapter. */
  | { readonly name: 'choices'; readonly adapterPath: string }
  /** Which trial of a device stands for a run. */
  | { readonly name: 'trialKey'; readonly subject: TrialSubject }
  /** The memory of a step on rows of up to `longest` tokens. */
  | { readonly name: 'memory'; readonly recipe: Recipe; readonly longest: number }
  | ({ readonly name: 'rows'; readonly offset: number; readonly limit: number; readonly maxLength: number } & RowsAt &
      ViewingRows)
  | ({ readonly name: 'report'; readonly maxLength: number } & RowsAt & ViewingRows);
/** Job to host. A job ends with exactly one of `done` and `problem`. */
export type JobMessage =
  /** The model of a chat is in memory: how long that takes is measured. */
  | { readonly type: 'ready' }
  /** Of the job, or of one request to a long-lived one. */
  | { readonly type: 'progress'; readonly progress: Progress; readonly request?: number }
  /** A sign of life from a thread of its own: for how long the process has neither computed nor read or written anything. */
  | { readonly type: 'beat'; readonly idleSeconds: number }
  /** From here on there are steps to lose: a stop waits for the one in progress and its checkpoint. */
  | { readonly type: 'underway' }
  /** The folder of the run holds more than before; `slowestStep` is the duration of the slowest step since, in seconds, 0 where there was none. */
  | { readonly type: 'written'; readonly slowestStep: number }
  /** An evaluation has answered a row: its result has the answer too. */
  | { readonly type: 'answered'; readonly row: number; readonly answer: ScoredAnswer }
  | { readonly type: 'token'; readonly streamId: string; readonly token: number; readonly text: string }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answer<unknown> }
  | { readonly type: 'done'; readonly result: unknown }
  | { readonly type: 'problem'; readonly problem: ProblemValue };
export interface JobEvents {
  'job.progress': {
    readonly jobId: string;
    readonly kind: JobSpec['kind'];
    /** The run, data set or export; null: what this connection itself has asked for, told to it alone. */
    readonly subjectId: string | null;
    readonly progress: Progress;
  };
}
