/** The seam between the queue and what computes a run. What lies beyond it, processes or machines and their paths, nobody else knows. */
import type { DeviceInfo, ModelAt, Progress } from '../../contract.ts';
import type { RecipeInput } from '../../recipe.ts';
import type { RunJob } from '../../store/runs.ts';

/** What a run is computed from. */
export interface RunnerSpec extends Omit<RunJob, 'acceptFields'> {
  readonly model: ModelAt;
  /** Devices judged for this run. */
  readonly devices: readonly DeviceInfo[];
  /** The whole recipe of a new run; of one that goes on only what was given anew, since its folder knows the rest. */
  readonly recipe: RecipeInput;
  /** The folder holds the run already. */
  readonly resume: boolean;
}

export interface RunListener {
  /** Called when the folder of the run may hold something new. */
  readonly onWritten: () => void;
  /** Called with how far the run is, which is told and not kept. */
  readonly onProgress: (progress: Progress) => void;
}

/** A run that is being computed. */
export interface RunHandle {
  /** Names this computation in the events of its progress. */
  readonly id: string;
  /** What `end` knows the computation by in a later host, as JSON; null where it cannot be known. */
  readonly identity: object | null;
  /** Resolves when the run is complete and nothing writes to its folder any more; rejects with the Problem that ended it. */
  readonly finished: Promise<unknown>;
  /** Asks for a checkpoint and an end. */
  stop(): void;
  /** Ends it at once. */
  kill(): void;
}

export interface Runner {
  /** Begins to compute a run that writes to `folder`. Throws a Problem where it cannot begin. */
  start(spec: RunnerSpec, folder: string, listener: RunListener): RunHandle;
  /** Ends what an earlier host has started, should it still compute. */
  end(identity: object): void;
}
