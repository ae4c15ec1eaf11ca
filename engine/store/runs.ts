/**
 * Stores runs in the table `runs`. Losses, other measures, time and memory are totals of the metrics, which metrics.ts updates
 * with every step that is stored.
 */
import type { Database } from 'better-sqlite3';
import type { DataAt, Provider, Run, RunState } from '../contract.ts';
import type { MeasureTotals } from '../measures.ts';
import type { ProblemValue } from '../problem.ts';
import { fromSaved, type Recipe, type RecipeInput } from '../recipe.ts';
import { jsonArray, jsonObject, type Rows } from './rows.ts';

/** Holds what the job of a run needs besides model, recipe and folder. */
export interface RunJob {
  readonly data: DataAt;
  readonly adapterPath: string | null;
  /**
   * Gives the hash of the adapter version that the run starts from. It is left out when the adapter was named by its path, and
   * in runs of an earlier studio.
   */
  readonly adapterHash?: string;
  /** Gives the hash of its config, under the same conditions. */
  readonly adapterConfigHash?: string | null;
  readonly device: 'auto' | Provider;
  readonly skipBadRows: boolean;
  /** Is left out in runs of an earlier studio. */
  readonly acceptFields?: readonly string[];
}

interface Row {
  id: string;
  project_id: string;
  name: string;
  colour: number;
  state: string;
  phase: string;
  model_id: string | null;
  model_name: string;
  model_path: string;
  dataset_id: string | null;
  dataset_name: string;
  version_id: string | null;
  version: number | null;
  job: string;
  recipe: string;
  device: string;
  out: string;
  step: number;
  total_steps: number;
  seconds_left: number | null;
  trainable_parameters: number;
  problem: string | null;
  notes: string;
  tags: string;
  process: string | null;
  created_at: number;
  finished_at: number | null;
  seconds: number;
  last_loss: number | null;
  measures: string;
  peak_memory: number;
}

/**
 * Selects runs with the number of the version that each was trained on. A run of an earlier studio did not store it, so it is
 * known only while the data set is there.
 */
const selectRuns = `SELECT runs.*, coalesce(
    (SELECT sequence FROM dataset_versions WHERE id = runs.version_id),
    CASE WHEN json_valid(job) THEN json_extract(job, '$.data.version.sequence') END
  ) AS version FROM runs`;

const fromRow = (row: Row): Run => ({
  id: row.id,
  projectId: row.project_id,
  name: row.name,
  colour: row.colour,
  state: row.state as RunState,
  phase: row.phase,
  modelId: row.model_id,
  modelName: row.model_name,
  modelPath: row.model_path,
  datasetId: row.dataset_id,
  datasetName: row.dataset_name,
  versionId: row.version_id,
  version: row.version,
  recipe: fromSaved(jsonObject<RecipeInput>('recipe', row.recipe)),
  device: row.device as Provider,
  out: row.out,
  step: row.step,
  totalSteps: row.total_steps,
  secondsLeft: row.seconds_left,
  seconds: row.seconds,
  lastLoss: row.last_loss,
  measures: jsonObject<MeasureTotals>('measures', row.measures),
  trainableParameters: row.trainable_parameters,
  peakMemory: row.peak_memory,
  problem: row.problem === null ? null : jsonObject<ProblemValue>('problem', row.problem),
  notes: row.notes,
  tags: jsonArray('tags', row.tags),
  createdAt: row.created_at,
  finishedAt: row.finished_at,
});

/** Lists the columns that change during the life of a run. */
export interface RunChange {
  readonly name?: string;
  readonly state?: RunState;
  readonly phase?: string;
  readonly recipe?: Recipe;
  readonly device?: Provider;
  readonly step?: number;
  readonly totalSteps?: number;
  readonly secondsLeft?: number | null;
  readonly trainableParameters?: number;
  readonly problem?: ProblemValue | null;
  readonly notes?: string;
  readonly tags?: readonly string[];
  /** Says what its runner identifies the computation by. */
  readonly process?: object | null;
  readonly metricsRead?: number;
  readonly eventsRead?: number;
  readonly finishedAt?: number | null;
}

const columns: Readonly<Record<keyof RunChange, { name: string; json: boolean }>> = {
  name: { name: 'name', json: false },
  state: { name: 'state', json: false },
  phase: { name: 'phase', json: false },
  recipe: { name: 'recipe', json: true },
  device: { name: 'device', json: false },
  step: { name: 'step', json: false },
  totalSteps: { name: 'total_steps', json: false },
  secondsLeft: { name: 'seconds_left', json: false },
  trainableParameters: { name: 'trainable_parameters', json: false },
  problem: { name: 'problem', json: true },
  notes: { name: 'notes', json: false },
  tags: { name: 'tags', json: true },
  process: { name: 'process', json: true },
  metricsRead: { name: 'metrics_read', json: false },
  eventsRead: { name: 'events_read', json: false },
  finishedAt: { name: 'finished_at', json: false },
};

export class Runs {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  list(projectId?: string): Run[] {
    const rows =
      projectId === undefined
        ? this.#db.prepare<[], Row>(`${selectRuns} ORDER BY runs.sequence`).all()
        : this.#db.prepare<[string], Row>(`${selectRuns} WHERE project_id = ? ORDER BY runs.sequence`).all(projectId);
    return this.#rows.list('runs', rows, fromRow);
  }
  get(id: string): Run | null {
    const row = this.#db.prepare<[string], Row>(`${selectRuns} WHERE runs.id = ?`).get(id);
    return this.#rows.one('runs', row, fromRow);
  }
  /** Returns the newest run in a folder. */
  byOut(out: string): Run | null {
    const row = this.#db.prepare<[string], Row>(`${selectRuns} WHERE out = ? ORDER BY runs.sequence DESC`).get(out);
    return this.#rows.one('runs', row, fromRow);
  }
  job(id: string): RunJob | null {
    const row = this.#db.prepare<[string], { job: string }>('SELECT job FROM runs WHERE id = ?').get(id);
    return this.#rows.one('runs', row, ({ job }) => jsonObject<RunJob>('job', job));
  }
  /** Returns how far the folder of the run is stored: the bytes read of each of its files. */
  position(id: string): { metrics: number; events: number } {
    return this.#db
      .prepare<[string], { metrics: number; events: number }>(
        'SELECT metrics_read AS metrics, events_read AS events FROM runs WHERE id = ?',
      )
      .get(id)!;
  }
  /** Lists the runs of a state, oldest first. */
  inState(state: RunState): { run: Run; process: object | null }[] {
    const rows = this.#db.prepare<[string], Row>(`${selectRuns} WHERE state = ? ORDER BY runs.sequence`).all(state);
    return this.#rows.list('runs', rows, (row) => ({
      run: fromRow(row),
      process: row.process === null ? null : jsonObject<object>('process', row.process),
    }));
  }
  insert(run: Run, job: RunJob): void {
    this.#db
      .prepare(
        `INSERT INTO runs (id, project_id, name, colour, state, phase, model_id, model_name, model_path, dataset_id, dataset_name,
           version_id, job, recipe, device, out, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        run.id,
        run.projectId,
        run.name,
        run.colour,
        run.state,
        run.phase,
        run.modelId,
        run.modelName,
        run.modelPath,
        run.datasetId,
        run.datasetName,
        run.versionId,
        JSON.stringify(job),
        JSON.stringify(run.recipe),
        run.device,
        run.out,
        run.createdAt,
      );
  }
  update(id: string, change: RunChange): void {
    const keys = (Object.keys(change) as (keyof RunChange)[]).filter((key) => change[key] !== undefined);
    if (keys.length === 0) return;
    const values = keys.map((key) => {
      const value = change[key];
      return columns[key].json && value !== null ? JSON.stringify(value) : value;
    });
    this.#db
      .prepare(`UPDATE runs SET ${keys.map((key) => `${columns[key].name} = ?`).join(', ')} WHERE id = ?`)
      .run(...values, id);
  }
  remove(id: string): void {
    this.#db.prepare('DELETE FROM runs WHERE id = ?').run(id);
  }
}
