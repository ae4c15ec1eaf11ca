/** Defines the messages between the host and its job processes. The window receives only `job.progress` of them. */
import type { Answer, ProblemValue } from '../problem.ts';
import type { Recipe, RecipeInput } from '../recipe.ts';
import type { AdapterAt, MixSettings, OneAdapter } from './adapters.ts';
import type { EvaluationSettings, GenerateRequest, GenerateSettings, JsonSchema, ScoredAnswer } from './answers.ts';
import type { AskedChange, DataAt, LabelledRow, ReadingRows, RowsAt, Split, ViewingRows } from './data.ts';
import type { Contestant, EvaluationRequest } from './evaluations.ts';
import type { ExportFormat, Quantization } from './exports.ts';
import type { DeviceInfo, Progress, Provider } from './machine.ts';
import type { ModelAt } from './models.ts';
import type { TrialSubject } from './runs.ts';

export interface ExportOrigin {
  readonly exportId: string;
  /** Gives the name and the run of each adapter, in order. */
  readonly adapters: readonly { readonly name: string; readonly run: { readonly id: string; readonly name: string } | null }[];
}
/** Describes a contestant as a job receives it. No other one of its evaluation has its name. */
export interface ContestantAt extends Omit<Contestant, 'adapter'> {
  readonly name: string;
  readonly adapter?: AdapterAt;
}
/** Holds everything a job needs, as paths and numbers: a job never opens the database. */
export type JobSpec =
  | ({
      readonly kind: 'train';
      readonly model: ModelAt;
      readonly data: DataAt;
      readonly recipe: RecipeInput;
      readonly out: string;
      readonly device: 'auto' | Provider;
      /**
       * Lists the devices of this machine as they were judged for a run like this one. If it is left out, only the processor is
       * used.
       */
      readonly devices?: readonly DeviceInfo[];
      readonly skipBadRows: boolean;
      readonly resume: boolean;
      readonly cacheDir: string;
    } & OneAdapter)
  | ({
      readonly kind: 'evaluate';
      readonly model: ModelAt;
      readonly cacheDir: string;
    } & OneAdapter &
      RowsAt &
      EvaluationSettings &
      ReadingRows)
  | ({
      /** Compares contestants on the same rows, or says how long that takes. */
      readonly kind: 'compare';
      readonly model: ModelAt;
      readonly train?: RowsAt;
      readonly validation?: RowsAt;
      readonly contestants: readonly ContestantAt[];
      readonly cacheDir: string;
      /** Gives the folder that holds the answers and the report. It is null for a plan, which stores nothing. */
      readonly out: string | null;
    } & RowsAt &
      ReadingRows &
      Pick<
        EvaluationRequest,
        'evaluators' | 'schema' | 'schemaFile' | 'seed' | 'maxTokens' | 'mostRows' | 'learningRows' | 'general'
      >)
  | { readonly kind: 'chat'; readonly model: ModelAt; readonly cacheDir: string }
  | ({
      readonly kind: 'export';
      readonly model: ModelAt;
      readonly adapters: readonly AdapterAt[];
      readonly format: ExportFormat;
      readonly quantization: Quantization | null;
      readonly out: string;
      /** Has the meaning that it has in `ExportRequest`. */
      readonly replace?: boolean;
      readonly proof: boolean;
      /** Names rows for the proof. If it is left out, they are built in. */
      readonly rows?: RowsAt;
      /** Names the rows on which the importance of columns is measured. If it is left out, the importance is not measured. */
      readonly importance?: RowsAt;
      readonly cacheDir: string;
      /** Says where the export comes from as far as the host knows; the job adds what the files say. */
      readonly origin?: ExportOrigin;
    } & ReadingRows)
  | { readonly kind: 'identify'; readonly path: string }
  | { readonly kind: 'data'; readonly model: ModelAt; readonly cacheDir: string }
  | { readonly kind: 'losses'; readonly model: ModelAt; readonly cacheDir: string }
  | {
      readonly kind: 'describe';
      readonly model: ModelAt;
      readonly adapterPath: string;
    }
  | ({ readonly kind: 'updates'; readonly model: ModelAt } & OneAdapter<string>)
  | ({ readonly kind: 'matrix'; readonly model: ModelAt; readonly path: string } & OneAdapter<string>)
  | {
      readonly kind: 'mix';
      /** Names the base, or is null where it is not on this computer, which one adapter of PEFT allows. */
      readonly model: ModelAt | null;
      readonly adapters: readonly AdapterAt[];
      readonly mix: MixSettings;
      readonly out: string;
      readonly origin: ExportOrigin;
    }
  /** Tries a device on a small model with the operators of `subject`, or of the usual kind. */
  | {
      readonly kind: 'trial';
      readonly provider: Provider;
      readonly subject: TrialSubject | null;
      readonly cacheDir: string;
    }
  | { readonly kind: 'inspect'; readonly path: string; readonly acceptFields?: readonly string[] }
  | { readonly kind: 'columns'; readonly path: string }
  | { readonly kind: 'scan'; readonly data: DataAt; readonly change?: AskedChange }
  /** Answers one question about rows as their files have them. */
  | { readonly kind: 'look'; readonly data: DataAt; readonly question: RowQuestion }
  | ({
      readonly kind: 'write-rows';
      readonly out: string;
      readonly replace: boolean;
      readonly skipBadRows: boolean;
    } & RowsAt);
/** Defines a question about rows as their files have them, which takes no model. */
export type RowQuestion =
  | { readonly name: 'record'; readonly split: Split; readonly row: number }
  /** Asks where a row is in other data that read the same files. */
  | { readonly name: 'place'; readonly split: Split; readonly row: number; readonly in: DataAt }
  | { readonly name: 'occurrences'; readonly find: string; readonly column?: string }
  | { readonly name: 'values'; readonly column: string };
/** Defines a message from the host to a job. `request` and `cancel` are for the long-lived jobs (chat, data, losses). */
export type JobCommand =
  | { readonly type: 'start'; readonly spec: JobSpec }
  | { readonly type: 'stop' }
  | { readonly type: 'request'; readonly id: number; readonly request: JobRequest }
  /** Says that nobody waits for the answer any more. */
  | { readonly type: 'cancel'; readonly id: number };
export type JobRequest =
  | {
      readonly name: 'generate';
      readonly adapters: readonly AdapterAt[];
      readonly prompt: GenerateRequest['prompt'];
      readonly settings: GenerateSettings;
      readonly schema?: JsonSchema;
      readonly streamId: string;
    }
  | ({ readonly name: 'render'; readonly offset: number } & RowsAt & ViewingRows)
  /** Asks which modules a recipe would adapt. Names that the model does not have adapt nothing. */
  | { readonly name: 'targets'; readonly recipe: Recipe }
  /** Asks what a recipe would train. Names that the model does not have are refused. */
  | { readonly name: 'adapter'; readonly recipe: Recipe }
  /** Asks for the formats that an adapter can be exported as. */
  | ({ readonly name: 'choices' } & OneAdapter<string>)
  /** Asks which trial of a device stands for a run. */
  | { readonly name: 'trialKey'; readonly subject: TrialSubject }
  /** Asks for the memory of a step on rows of up to `longest` tokens. */
  | { readonly name: 'memory'; readonly recipe: Recipe; readonly longest: number }
  | ({ readonly name: 'rows'; readonly offset: number; readonly limit: number; readonly maxLength: number } & RowsAt &
      ViewingRows)
  | ({ readonly name: 'row'; readonly row: number; readonly maxLength: number } & RowsAt & ViewingRows)
  | ({ readonly name: 'pack'; readonly row: number; readonly recipe: Recipe } & RowsAt)
  /** Asks for the losses of the trained tokens of some examples, without and with an adapter. */
  | { readonly name: 'losses'; readonly adapter: AdapterAt | null; readonly rows: readonly LabelledRow[] }
  | ({ readonly name: 'find'; readonly text: string; readonly from: number } & RowsAt)
  | ({ readonly name: 'report'; readonly maxLength: number } & RowsAt & ViewingRows);
/** Defines a message from a job to the host. A job ends with exactly one of `done` and `problem`. */
export type JobMessage =
  /** Says that the model of a chat is in memory, because the time that this takes is measured. */
  | { readonly type: 'ready' }
  /** Reports the progress of the job, or of one request to a long-lived job. */
  | { readonly type: 'progress'; readonly progress: Progress; readonly request?: number }
  /**
   * Reports from a thread of its own that the process is alive, and for how long it has neither computed nor read nor written.
   */
  | { readonly type: 'heartbeat'; readonly idleSeconds: number }
  /** Says that from now on there are steps to lose, so a stop waits for the step in progress and its checkpoint. */
  | { readonly type: 'underway' }
  /**
   * Says that the folder of the run has grown. `slowestStep` is the duration in seconds of the slowest step since the last such
   * message, or 0 if there was no step.
   */
  | { readonly type: 'written'; readonly slowestStep: number }
  /**
   * Says that an evaluation has answered a row. The result of the job, or its folder, holds the answer too. `contestant` names
   * who answered where there are several.
   */
  | { readonly type: 'answered'; readonly row: number; readonly answer: ScoredAnswer; readonly contestant?: string }
  /** Says that a comparison has read its rows, and how many answers there will be. */
  | { readonly type: 'asked'; readonly rows: number; readonly rowsHash: string; readonly answers: number }
  | { readonly type: 'token'; readonly streamId: string; readonly token: number; readonly text: string }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answer<unknown> }
  | { readonly type: 'done'; readonly result: unknown }
  | { readonly type: 'problem'; readonly problem: ProblemValue };
export interface JobEvents {
  'job.progress': {
    readonly jobId: string;
    readonly kind: JobSpec['kind'];
    /**
     * Gives the id of the run, data set or export. It is null for something that this connection itself requested, and that is
     * reported to it alone.
     */
    readonly subjectId: string | null;
    readonly progress: Progress;
  };
}
