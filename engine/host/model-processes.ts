/** Keeps processes for chat, data and losses open, one of each per base model, and ends them after a while without requests. */
import { randomUUID } from 'node:crypto';
import type {
  AdapterAt,
  AdapterPlan,
  DataReport,
  DataRequests,
  EngineEvents,
  ExportChoice,
  GenerateRequest,
  GenerateResult,
  JobRequest,
  ModelAt,
  OneAdapter,
  Progress,
  RenderedRows,
  Result,
  RowDetail,
  RowLosses,
  RowPack,
  RunPlan,
  TargetPlan,
  TrialSubject,
} from '../contract.ts';
import { Problem } from '../problem.ts';
import type { Job, RequestOptions } from '../jobs/supervisor.ts';
import type { Recipe } from '../recipe.ts';
import { type Asker, type Client, type HostContext, silenceSeconds } from './context.ts';

type Kind = 'chat' | 'data' | 'losses';
type StreamedToken = EngineEvents['generate.token'];
interface Held {
  readonly job: Job;
  requests: number;
  release: NodeJS.Timeout | undefined;
}

/** Holds the seconds without a request after which a process ends. Processes for chat and losses hold the whole model in memory. */
const idleSeconds: Readonly<Record<Kind, number>> = { chat: 60, data: 30, losses: 60 };
/** Gives the shortest time between two reports of progress that are sent. */
const millisecondsBetweenReports = 100;

/** Describes a client that asks about data. The work ends when nobody waits for it any more. */
export interface DataAsker extends Asker {
  /** Gives the name of the question, if a later question of the same client with this name replaces it. */
  readonly question?: string;
  /** Gives the data set whose progress is sent to every client. If it is left out, progress is sent to the asker alone. */
  readonly subjectId?: string | null;
}

export class ModelProcesses {
  readonly #context: HostContext;
  readonly #held = new Map<string, Held>();
  /** Holds the receivers of the tokens of each stream. */
  readonly #streams = new Map<string, (token: StreamedToken) => void>();
  /** Holds the questions of each client that wait for an answer. */
  readonly #questions = new WeakMap<Client, Map<string, AbortController>>();

  constructor(context: HostContext) {
    this.#context = context;
  }

  /** Returns whether a client waits for an answer of one of the processes. */
  get busy(): boolean {
    return [...this.#held.values()].some(({ requests }) => requests > 0);
  }

  /** Returns whether a job is one of these processes. */
  isOfModel(job: Job): boolean {
    return job.spec.kind in idleSeconds;
  }

  async generate(
    model: ModelAt,
    request: Omit<GenerateRequest, 'adapters'> & { readonly adapters: readonly AdapterAt[] },
    signal: AbortSignal,
    onToken: (token: StreamedToken) => void = () => {},
  ): Promise<GenerateResult> {
    const { streamId, adapters, prompt, settings, schema } = request;
    if (this.#streams.has(streamId))
      throw new Problem('request-invalid', `The stream '${streamId}' is already running.`, 'Use another stream name.');
    const held = this.#hold('chat', model);
    this.#streams.set(streamId, onToken);
    try {
      const bound = schema === undefined ? {} : { schema };
      const asked: JobRequest = { name: 'generate', adapters, prompt, settings, streamId, ...bound };
      return (await this.#ask(held, asked, { signal })) as GenerateResult;
    } finally {
      this.#streams.delete(streamId);
    }
  }

  /** Keeps the process for chat of a model open between its requests, until the function that it returns is called. */
  keep(model: ModelAt): () => void {
    const held = this.#hold('chat', model);
    this.#take(held);
    let isKept = true;
    return () => {
      if (isKept) this.#giveBack(held);
      isKept = false;
    };
  }

  async rows(
    model: ModelAt,
    page: Omit<Extract<JobRequest, { name: 'rows' }>, 'name'>,
    asker: DataAsker,
  ): Promise<Result<DataRequests, 'data.rows'>> {
    const request: JobRequest = { name: 'rows', ...page };
    return (await this.#data(model, request, asker)) as Result<DataRequests, 'data.rows'>;
  }

  async row(model: ModelAt, of: Omit<Extract<JobRequest, { name: 'row' }>, 'name'>, asker: DataAsker): Promise<RowDetail> {
    return (await this.#data(model, { name: 'row', ...of }, asker)) as RowDetail;
  }

  async pack(
    model: ModelAt,
    of: Omit<Extract<JobRequest, { name: 'pack' }>, 'name'>,
    asker: DataAsker,
  ): Promise<RowPack | null> {
    return (await this.#data(model, { name: 'pack', ...of }, asker)) as RowPack | null;
  }

  async losses(
    model: ModelAt,
    of: Omit<Extract<JobRequest, { name: 'losses' }>, 'name'>,
    signal: AbortSignal,
  ): Promise<RowLosses> {
    return (await this.#ask(this.#hold('losses', model), { name: 'losses', ...of }, { signal })) as RowLosses;
  }

  async find(
    model: ModelAt,
    of: Omit<Extract<JobRequest, { name: 'find' }>, 'name'>,
    asker: DataAsker,
  ): Promise<Result<DataRequests, 'data.find'>> {
    return (await this.#data(model, { name: 'find', ...of }, asker)) as Result<DataRequests, 'data.find'>;
  }

  async report(
    model: ModelAt,
    of: Omit<Extract<JobRequest, { name: 'report' }>, 'name'>,
    asker?: DataAsker,
  ): Promise<DataReport> {
    return (await this.#data(model, { name: 'report', ...of }, asker)) as DataReport;
  }

  async memory(model: ModelAt, recipe: Recipe, longest: number): Promise<RunPlan['memory']> {
    return (await this.#data(model, { name: 'memory', recipe, longest })) as RunPlan['memory'];
  }

  async targets(model: ModelAt, recipe: Recipe): Promise<TargetPlan> {
    return (await this.#data(model, { name: 'targets', recipe })) as TargetPlan;
  }

  async adapter(model: ModelAt, recipe: Recipe): Promise<AdapterPlan> {
    return (await this.#data(model, { name: 'adapter', recipe })) as AdapterPlan;
  }

  async choices(model: ModelAt, adapter: OneAdapter<string>): Promise<readonly ExportChoice[]> {
    return (await this.#data(model, { name: 'choices', ...adapter })) as readonly ExportChoice[];
  }

  async trialKey(subject: TrialSubject): Promise<string> {
    return (await this.#data(subject.model, { name: 'trialKey', subject })) as string;
  }

  async render(
    model: ModelAt,
    of: Omit<Extract<JobRequest, { name: 'render' }>, 'name'>,
    asker: DataAsker,
  ): Promise<RenderedRows> {
    return (await this.#data(model, { name: 'render', ...of }, asker)) as RenderedRows;
  }

  async #data(model: ModelAt, request: JobRequest, asker?: DataAsker): Promise<unknown> {
    const held = this.#hold('data', model);
    if (asker === undefined) return this.#ask(held, request, { silenceSeconds });
    const replaced = new AbortController();
    const questions = this.#questions.get(asker.client) ?? new Map<string, AbortController>();
    this.#questions.set(asker.client, questions);
    const question = asker.question ?? randomUUID();
    const before = questions.get(question);
    questions.set(question, replaced);
    const onProgress = this.#reporterTo(held, asker);
    const signal = AbortSignal.any([asker.signal, replaced.signal]);
    const answer = this.#ask(held, request, { silenceSeconds, signal, onProgress });
    // The earlier question ends only now, so that work that both of them need is not started again.
    before?.abort();
    try {
      return await answer;
    } finally {
      if (questions.get(question) === replaced) questions.delete(question);
    }
  }

  #reporterTo({ job }: Held, { client, subjectId = null }: DataAsker): (progress: Progress) => void {
    const tell = subjectId === null ? client.tell : this.#context.emit;
    let told = -Infinity;
    return (progress) => {
      const now = performance.now();
      if (now - told < millisecondsBetweenReports) return;
      told = now;
      tell('job.progress', { jobId: job.id, kind: 'data', subjectId, progress });
    };
  }

  #hold(kind: Kind, model: ModelAt): Held {
    const { path, acceptFields = [] } = model;
    const key = JSON.stringify([kind, path, acceptFields]);
    const living = this.#held.get(key);
    if (living?.job.open === true) return living;
    const job = this.#context.supervisor.start(
      { kind, model, cacheDir: this.#context.cacheDir },
      {
        onMessage: (message) => {
          if (message.type !== 'token') return;
          const { streamId, token, text } = message;
          this.#streams.get(streamId)?.({ streamId, token, text });
        },
      },
    );
    const held: Held = { job, requests: 0, release: undefined };
    this.#held.set(key, held);
    const forget = () => {
      clearTimeout(held.release);
      if (this.#held.get(key) === held) this.#held.delete(key);
    };
    job.finished.then(forget, forget);
    return held;
  }

  async #ask(held: Held, request: JobRequest, options: RequestOptions = {}): Promise<unknown> {
    this.#take(held);
    try {
      return await held.job.request(request, options);
    } finally {
      this.#giveBack(held);
    }
  }

  #take(held: Held): void {
    clearTimeout(held.release);
    held.requests++;
  }

  #giveBack(held: Held): void {
    held.requests--;
    if (held.requests === 0)
      held.release = setTimeout(() => held.job.stop(5), idleSeconds[held.job.spec.kind as Kind] * 1000).unref();
  }
}
