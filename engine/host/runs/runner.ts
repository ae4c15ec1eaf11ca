/**
 * Defines the interface between the queue and what computes a run. Nothing else knows what is behind it: processes, or machines
 * and their paths.
 */
import type { DeviceInfo, ModelAt, Progress } from '../../contract.ts';
import type { RecipeInput } from '../../recipe.ts';
import type { RunJob } from '../../store/runs.ts';

/** Holds what a run is computed from. */
export interface RunnerSpec extends Omit<RunJob, 'acceptFields'> {
  readonly model: ModelAt;
  /** Lists the devices as they were judged for this run. */
  readonly devices: readonly DeviceInfo[];
  /** Holds the whole recipe of a new run; for a resumed run only the newly given fields, because its folder has the others. */
  readonly recipe: RecipeInput;
  /** Says that the folder holds the run already. */
  readonly resume: boolean;
}

export interface RunListener {
  /** Is called when the folder of the run may hold something new. */
  readonly onWritten: () => void;
  /** Is called with the progress of the run, which is sent to clients but not stored. */
  readonly onProgress: (progress: Progress) => void;
}

/** Represents a run that is being computed. */
export interface RunHandle {
  /** Gives the name of this computation in the events of its progress. */
  readonly id: string;
  /** Says what a later host can pass to `end` to identify the computation, as JSON, or is null when it cannot be identified. */
  readonly identity: object | null;
  /** Resolves when the run is complete and nothing writes to its folder any more; rejects with the Problem that ended it. */
  readonly finished: Promise<unknown>;
  /** Says whether training steps have begun, so that a stop first saves a checkpoint. */
  readonly underway: boolean;
  /** Asks the run to end: at once before its first step, and afterwards with a checkpoint. */
  stop(): void;
  /** Ends the computation at once. */
  kill(): void;
}

export interface Runner {
  /** Begins to compute a run that writes to `folder`. Throws a `Problem` when it cannot begin. */
  start(spec: RunnerSpec, folder: string, listener: RunListener): RunHandle;
  /** Ends a computation that an earlier host started, if it is still running. */
  end(identity: object): void;
}
