/** The processes that stay: chat and data preparation, one of each per base model, released when nobody has asked for a while. */
import type {
  AdapterPlan,
  DataReport,
  EngineEvents,
  ExportChoice,
  GenerateRequest,
  GenerateResult,
  JobRequest,
  RenderedRow,
  RowView,
  RunPlan,
  TargetPlan,
  TrialSubject,
  ViewingRows,
} from '../contract.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import type { Job } from '../jobs/supervisor.ts';
import type { Recipe } from '../recipe.ts';
import type { HostContext } from './context.ts';
import type { ModelAt } from './library.ts';

type Kind = 'chat' | 'data';
type StreamedToken = EngineEvents['generate.token'];
interface Held {
  readonly job: Job;
  requests: number;
  release: NodeJS.Timeout | undefined;
}

/** A chat process holds the whole model in memory. */
const idleSeconds: Readonly<Record<Kind, number>> = { chat: 60, data: 30 };
/** A chat template or regular expression that takes longer than this is taken for one that never ends. */
const dataLimitSeconds = 60;

export class LongLived {
  readonly #context: HostContext;
  readonly #held = new Map<string, Held>();
  /** Which process writes which stream, and who hears its tokens. */
  readonly #streams = new Map<string, { readonly held: Held; readonly onToken: (token: StreamedToken) => void }>();

  constructor(context: HostContext) {
    this.#context = context;
  }

  /** Whether somebody waits for an answer of one of them. */
  get busy(): boolean {
    return [...this.#held.values()].some(({ requests }) => requests > 0);
  }

  isLongLived(job: Job): boolean {
    return job.spec.kind === 'chat' || job.spec.kind === 'data';
  }

  async generate(
    model: ModelAt,
    request: GenerateRequest,
    signal: AbortSignal,
    onToken: (token: StreamedToken) => void = () => {},
  ): Promise<GenerateResult> {
    const { streamId, adapters, prompt, settings } = request;
    if (this.#streams.has(streamId))
      throw new Problem('request-invalid', `The stream '${streamId}' is already running.`, 'Choose another name for it.');
    const held = this.#hold('chat', model);
    this.#streams.set(streamId, { held, onToken });
    const stop = () => void this.stopGenerate(streamId);
    signal.addEventListener('abort', stop, { once: true });
    try {
      return (await this.#ask(held, { name: 'generate', adapters, prompt, settings, streamId }, null)) as GenerateResult;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#streams.delete(streamId);
    }
  }

  async stopGenerate(streamId: string): Promise<void> {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) await this.#ask(stream.held, { name: 'stopGenerate', streamId }, null).catch(() => {});
  }

  async rows(
    model: ModelAt,
    dataPaths: readonly string[],
    page: { offset: number; limit: number; maxLength: number },
  ): Promise<{ rows: readonly RowView[]; total: number }> {
    const request: JobRequest = { name: 'rows', dataPaths, ...page };
    return (await this.#data(model, request)) as { rows: readonly RowView[]; total: number };
  }

  async report(
    model: ModelAt,
    dataPaths: readonly string[],
    otherPaths: readonly string[],
    maxLength: number,
    viewing: ViewingRows = {},
  ): Promise<DataReport> {
    return (await this.#data(model, { name: 'report', dataPaths, otherPaths, maxLength, ...viewing })) as DataReport;
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

  async choices(model: ModelAt, adapterPath: string): Promise<readonly ExportChoice[]> {
    return (await this.#data(model, { name: 'choices', adapterPath })) as readonly ExportChoice[];
  }

  async trialKey(subject: TrialSubject): Promise<string> {
    const { modelPath, acceptFields = [] } = subject;
    return (await this.#data({ modelPath, acceptFields }, { name: 'trialKey', subject })) as string;
  }

  async render(
    model: ModelAt,
    dataPaths: readonly string[],
    viewing: ViewingRows = {},
  ): Promise<readonly (RenderedRow | { problem: ProblemValue })[]> {
    return (await this.#data(model, { name: 'render', dataPaths, ...viewing })) as readonly (
      RenderedRow | { problem: ProblemValue }
    )[];
  }

  #data(model: ModelAt, request: JobRequest): Promise<unknown> {
    return this.#ask(this.#hold('data', model), request, dataLimitSeconds);
  }

  #hold(kind: Kind, model: ModelAt): Held {
    const key = JSON.stringify([kind, model]);
    const living = this.#held.get(key);
    if (living !== undefined && !living.job.ended && !living.job.stopAsked) return living;
    const job = this.#context.supervisor.start(
      { kind, ...model, cacheDir: this.#context.cacheDir },
      {
        onMessage: (message) => {
          if (message.type !== 'token') return;
          const { streamId, token, text } = message;
          this.#streams.get(streamId)?.onToken({ streamId, token, text });
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

  async #ask(held: Held, request: JobRequest, limitSeconds: number | null): Promise<unknown> {
    clearTimeout(held.release);
    held.requests++;
    try {
      return await held.job.request(request, limitSeconds);
    } finally {
      held.requests--;
      if (held.requests === 0)
        held.release = setTimeout(() => held.job.stop(5), idleSeconds[held.job.spec.kind as Kind] * 1000).unref();
    }
  }
}
