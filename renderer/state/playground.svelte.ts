/**
 * Holds the playground: one prompt, answered by the base and by adapters side by side. The answers last as long as the window,
 * so they continue while another screen is open.
 */
import type { AdapterVersion, AdapterWeight, ChatMessage, Model } from '../../engine/contract.ts';
import type { AdaptersState } from './adapters.svelte.ts';
import type { Answer, ChatState } from './chat.svelte.ts';

export const mostColumns = 4;
/** Gives the time without a change of weights after which a column answers again, in milliseconds. */
const restAfterChange = 300;

/** Represents an adapter in a column, with its weight. */
export class MixPart {
  adapterId = $state('');
  weight = $state(1);

  constructor(adapterId: string) {
    this.adapterId = adapterId;
  }
}

/** Represents one column: the base alone (no parts), or the base with one or more adapters, each with its weight. */
export class AnswerColumn {
  parts = $state.raw<readonly MixPart[]>([]);
  answer = $state.raw<Answer | null>(null);
  /** Says whether it still waits. Columns are asked one after another, because they share one copy of the base. */
  queued = $state(false);
  readonly key: number;

  constructor(key: number, adapterId: string | null) {
    this.key = key;
    if (adapterId !== null) this.parts = [new MixPart(adapterId)];
  }

  has(adapterId: string): boolean {
    return this.parts.some((part) => part.adapterId === adapterId);
  }
}

export class PlaygroundState {
  columns = $state.raw<readonly AnswerColumn[]>([new AnswerColumn(0, null)]);
  modelId = $state<string | null>(null);
  system = $state('');
  draft = $state('');
  /** Holds the prompt that was asked last. */
  asked = $state.raw<{ readonly system: string; readonly prompt: string; readonly model: Model } | null>(null);
  maxTokens = $state(128);
  temperature = $state(0);
  topP = $state(1);
  topK = $state(0);
  seed = $state(1);
  busy = $state(false);

  readonly #chat: ChatState;
  readonly #adapters: AdaptersState;
  #nextKey = 1;
  #writing: { readonly column: AnswerColumn; readonly answer: Answer } | null = null;
  /** Holds the columns that wait for their turn. */
  #queue: AnswerColumn[] = [];
  readonly #changed = new Map<AnswerColumn, ReturnType<typeof setTimeout>>();

  constructor(chat: ChatState, adapters: AdaptersState) {
    this.#chat = chat;
    this.#adapters = adapters;
  }

  /** Says whether every setting is a number within its range. An empty field has none. */
  get settingsFit(): boolean {
    return (
      Number.isInteger(this.maxTokens) &&
      this.maxTokens >= 1 &&
      this.temperature >= 0 &&
      this.topP > 0 &&
      this.topP <= 1 &&
      this.topK >= 0 &&
      this.seed >= 0
    );
  }

  add(adapterId: string | null): void {
    if (this.columns.length < mostColumns) this.columns = [...this.columns, new AnswerColumn(this.#nextKey++, adapterId)];
  }

  remove(column: AnswerColumn): void {
    this.#forget(column);
    this.columns = this.columns.filter((other) => other !== column);
  }

  /** Puts an adapter beside the base, unless it has a column of its own already. */
  compareWithBase(adapter: AdapterVersion): void {
    if (adapter.modelId !== this.modelId) {
      this.modelId = adapter.modelId;
      this.#restart();
    }
    if (this.columns.some(({ parts }) => parts.length === 1 && parts[0]!.adapterId === adapter.id)) return;
    this.columns = [...this.columns.slice(0, mostColumns - 1), new AnswerColumn(this.#nextKey++, adapter.id)];
  }

  /** Switches to another base. The adapters of the old one do not fit it, so their columns are removed. */
  changeModel(id: string): void {
    if (id === this.modelId) return;
    this.modelId = id;
    this.#restart();
    this.asked = null;
  }

  /** Adds an adapter to those of a column. */
  mixIn(column: AnswerColumn, adapterId: string): void {
    column.parts = [...column.parts, new MixPart(adapterId)];
    this.changed(column);
  }

  /** Takes an adapter out of a column. */
  takeOut(column: AnswerColumn, part: MixPart): void {
    column.parts = column.parts.filter((other) => other !== part);
    this.changed(column);
  }

  /** Answers the last prompt again once nothing of the column has changed for a moment. */
  changed(column: AnswerColumn): void {
    clearTimeout(this.#changed.get(column));
    if (column.answer === null || this.asked === null) return;
    const again = (): void => {
      this.#changed.delete(column);
      if (!this.columns.includes(column) || !this.weightsFit(column) || !this.settingsFit) return;
      if (this.#writing?.column === column) this.#chat.stop(this.#writing.answer);
      if (!this.#queue.includes(column)) this.#queue.push(column);
      column.queued = true;
      void this.#work();
    };
    this.#changed.set(column, setTimeout(again, restAfterChange));
  }

  /** Says whether every weight of a column is a number. */
  weightsFit({ parts }: AnswerColumn): boolean {
    return parts.every(({ weight }) => Number.isFinite(weight));
  }

  /** Returns the adapters of a column as the engine takes them. Those that were removed meanwhile are left out. */
  weightsOf({ parts }: AnswerColumn): AdapterWeight[] {
    return parts.flatMap(({ adapterId, weight }) => {
      const adapter = this.#adapters.list.find(adapterId);
      return adapter === null ? [] : [{ path: adapter.path, weight }];
    });
  }

  /** Asks all columns the same prompt with the same seed, one after another. */
  async ask(model: Model): Promise<void> {
    const prompt = this.draft.trim();
    if (prompt === '' || this.busy) return;
    this.asked = { system: this.system.trim(), prompt, model };
    this.draft = '';
    for (const column of this.columns) {
      clearTimeout(this.#changed.get(column));
      column.answer = null;
      column.queued = true;
    }
    this.#queue = [...this.columns];
    await this.#work();
  }

  stop(): void {
    this.#queue = [];
    for (const column of this.columns) column.queued = false;
    if (this.#writing !== null) this.#chat.stop(this.#writing.answer);
  }

  /** Answers for the columns of the queue, one after another. */
  async #work(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    for (let column = this.#queue.shift(); column !== undefined; column = this.#queue.shift()) {
      const answer = this.#answerOf(column);
      column.queued = false;
      column.answer = answer;
      this.#writing = { column, answer };
      await answer.finished;
      this.#writing = null;
    }
    this.busy = false;
  }

  #answerOf(column: AnswerColumn): Answer {
    const { system, prompt, model } = this.asked!;
    const messages: ChatMessage[] = [{ role: 'user', content: prompt }];
    if (system !== '') messages.unshift({ role: 'system', content: system });
    return this.#chat.ask({
      model: { id: model.id },
      adapters: this.weightsOf(column),
      prompt: model.hasChatTemplate ? { messages } : { text: system === '' ? prompt : `${system}\n\n${prompt}` },
      settings: {
        maxTokens: this.maxTokens,
        temperature: this.temperature,
        topP: this.topP,
        topK: this.topK,
        seed: this.seed,
        ignoreStop: false,
      },
    });
  }

  #restart(): void {
    for (const column of this.columns) this.#forget(column);
    this.columns = [new AnswerColumn(this.#nextKey++, null)];
  }

  #forget(column: AnswerColumn): void {
    clearTimeout(this.#changed.get(column));
    this.#queue = this.#queue.filter((other) => other !== column);
    if (this.#writing?.column === column) this.#chat.stop(this.#writing.answer);
  }
}
