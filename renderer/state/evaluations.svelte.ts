import { SvelteMap } from 'svelte/reactivity';
import type {
  AllRequests,
  Evaluation,
  EvaluationDetail,
  EvaluationPlan,
  EvaluationRequest,
  EvaluatorInfo,
  Params,
  Progress,
  Result,
  ScoredAnswer,
} from '../../engine/contract.ts';
import { isolated } from '../ui/format.ts';
import { Asked } from './asked.svelte.ts';
import { Collection } from './collection.svelte.ts';
import type { Asking, Engine } from './engine.ts';
import type { Notices } from './notices.svelte.ts';

/** Holds an answer that has just come. */
export interface FreshAnswer {
  readonly contestant: string;
  readonly row: number;
  readonly answer: ScoredAnswer;
}
/** Counts the answers of a contestant that came while this window was open, and their seconds. */
export interface Pace {
  readonly answers: number;
  readonly seconds: number;
}

/** Limits the answers that are kept to be shown while an evaluation runs. */
const mostFresh = 40;
/** Gives the milliseconds between two changes of what is shown of a running evaluation. */
const millisecondsBetween = 300;

/** Holds the evaluations of the open project, and what is known of the running ones. */
export class EvaluationsState {
  readonly list: Collection<Evaluation>;
  /** Holds the progress of each running evaluation, by its id. */
  readonly progress = new SvelteMap<string, Progress>();
  /** Holds the newest answers of each running evaluation, newest first. */
  readonly fresh = new SvelteMap<string, readonly FreshAnswer[]>();
  /** Holds the pace of the contestants of each running evaluation, by the names of the contestants. */
  readonly paces = new SvelteMap<string, Readonly<Record<string, Pace>>>();
  /** Holds how far the plan is that is being made, or null. */
  planning = $state.raw<Progress | null>(null);
  readonly evaluators = new Asked<readonly EvaluatorInfo[]>();
  /** Holds what has come and is not shown yet, by the ids of evaluations. */
  readonly #untold = new Map<string, readonly FreshAnswer[]>();
  readonly #progressed = new Map<string, Progress>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  readonly #engine: Engine;
  readonly #notices: Notices;

  constructor(engine: Engine, notices: Notices) {
    this.#engine = engine;
    this.#notices = notices;
    this.list = new Collection(async (projectId) => (await engine.request('evaluations.list', { projectId })).toReversed());
    engine.on('evaluation.changed', (evaluation) => {
      if (evaluation.projectId === this.list.projectId) this.list.apply(evaluation);
      if (evaluation.state !== 'running') this.progress.delete(evaluation.id);
    });
    engine.on('evaluation.removed', ({ id }) => this.list.drop(id));
    engine.on('evaluation.answered', ({ id, contestant, row, answer }) => {
      this.#untold.set(id, [...(this.#untold.get(id) ?? []), { contestant, row, answer }]);
      this.#tellSoon();
    });
    engine.on('job.progress', ({ kind, subjectId, progress }) => {
      if (kind !== 'compare') return;
      if (subjectId !== null) this.#progressed.set(subjectId, progress);
      else if (this.planning !== null) this.planning = progress;
      this.#tellSoon();
    });
  }

  #tellSoon(): void {
    if (this.#timer === null) this.#timer = setTimeout(() => this.#tell(), millisecondsBetween);
  }

  /** Shows what has come since the last time. A small model answers more often than a window can be drawn. */
  #tell(): void {
    this.#timer = null;
    for (const [id, progress] of this.#progressed) if (this.list.find(id)?.state === 'running') this.progress.set(id, progress);
    for (const [id, answers] of this.#untold) {
      this.fresh.set(id, [...answers.toReversed(), ...(this.fresh.get(id) ?? [])].slice(0, mostFresh));
      const paces: Record<string, Pace> = { ...this.paces.get(id) };
      for (const { contestant, answer } of answers) {
        const { answers: before, seconds } = paces[contestant] ?? { answers: 0, seconds: 0 };
        paces[contestant] = { answers: before + 1, seconds: seconds + answer.seconds };
      }
      this.paces.set(id, paces);
    }
    this.#progressed.clear();
    this.#untold.clear();
  }

  async loadEvaluators(): Promise<void> {
    if (this.evaluators.value === null) await this.evaluators.ask(() => this.#engine.request('evaluators.list'));
  }

  get(id: string): Promise<EvaluationDetail> {
    return this.#engine.request('evaluations.get', { id });
  }

  rows(question: Params<AllRequests, 'evaluations.rows'>): Promise<Result<AllRequests, 'evaluations.rows'>> {
    return this.#engine.request('evaluations.rows', question);
  }

  async text(id: string, format: 'markdown' | 'csv'): Promise<string> {
    return (await this.#engine.request('evaluations.text', { id, format })).text;
  }

  /** Measures how long an evaluation takes, and compares its rows with those of the training. */
  async plan(request: EvaluationRequest, asking: Asking): Promise<EvaluationPlan> {
    this.planning = { phase: 'Reading the rows', done: 0, total: 0, unit: '', secondsLeft: null };
    try {
      return await this.#engine.request('evaluations.plan', request, asking);
    } finally {
      this.planning = null;
    }
  }

  async start(request: EvaluationRequest): Promise<Evaluation> {
    const evaluation = await this.#engine.request('evaluations.start', request);
    this.list.apply(evaluation);
    return evaluation;
  }

  async stop(id: string): Promise<void> {
    await this.#engine.request('evaluations.stop', { id });
  }

  async resume(id: string): Promise<void> {
    // What is kept is told again.
    this.paces.delete(id);
    this.fresh.delete(id);
    this.list.apply(await this.#engine.request('evaluations.resume', { id }));
  }

  async rename(id: string, name: string): Promise<void> {
    this.list.apply(await this.#engine.request('evaluations.rename', { id, name }));
  }

  /** Removes an evaluation with its answers, unless that is undone in time. */
  remove({ id, name }: Evaluation): void {
    this.list.setHidden(id, true);
    this.#notices.undoable(
      `${isolated(name)} removed`,
      () => this.list.setHidden(id, false),
      async () => {
        await this.#engine.request('evaluations.remove', { id });
        this.list.drop(id);
      },
    );
  }
}
