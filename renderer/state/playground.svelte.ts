/**
 * Holds the playground: one prompt, answered by the base and by adapters side by side. The answers last as long as the window,
 * so they continue while another screen is open.
 */
import type { AdapterVersion, ChatMessage, Model } from '../../engine/contract.ts';
import type { Answer, ChatState } from './chat.svelte.ts';

export const mostColumns = 4;

/** Represents one column: the base alone (`adapterId` null), or the base with an adapter of some weight. */
export class AnswerColumn {
  adapterId = $state<string | null>(null);
  weight = $state(1);
  answer = $state.raw<Answer | null>(null);
  /** Says whether it still waits. Columns are asked one after another, because they share one copy of the base. */
  queued = $state(false);
  readonly key: number;

  constructor(key: number, adapterId: string | null) {
    this.key = key;
    this.adapterId = adapterId;
  }
}

export class PlaygroundState {
  columns = $state.raw<readonly AnswerColumn[]>([new AnswerColumn(0, null)]);
  modelId = $state<string | null>(null);
  system = $state('');
  draft = $state('');
  /** Holds the prompt that was asked last. */
  asked = $state.raw<{ readonly system: string; readonly prompt: string } | null>(null);
  maxTokens = $state(128);
  temperature = $state(0);
  topP = $state(1);
  topK = $state(0);
  seed = $state(1);
  busy = $state(false);

  readonly #chat: ChatState;
  #nextKey = 1;
  #writing: Answer | null = null;
  /** Counts the questions. A stopped question does not continue with its next column. */
  #turn = 0;

  constructor(chat: ChatState) {
    this.#chat = chat;
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
    if (column.answer !== null && column.answer === this.#writing) this.stop();
    this.columns = this.columns.filter((other) => other !== column);
  }

  /** Puts an adapter beside the base, unless it has a column already. */
  compareWithBase(adapter: AdapterVersion): void {
    if (adapter.modelId !== this.modelId) {
      this.modelId = adapter.modelId;
      this.columns = [new AnswerColumn(this.#nextKey++, null)];
    }
    if (this.columns.some((column) => column.adapterId === adapter.id)) return;
    this.columns = [...this.columns.slice(0, mostColumns - 1), new AnswerColumn(this.#nextKey++, adapter.id)];
  }

  /** Switches to another base. The adapters of the old one do not fit it, so their columns are removed. */
  changeModel(id: string): void {
    if (id === this.modelId) return;
    this.modelId = id;
    this.columns = [new AnswerColumn(this.#nextKey++, null)];
    this.asked = null;
  }

  /** Asks all columns the same prompt with the same seed, one after another. */
  async ask(model: Model, adapters: readonly AdapterVersion[]): Promise<void> {
    const prompt = this.draft.trim();
    if (prompt === '' || this.busy) return;
    const turn = ++this.#turn;
    const system = this.system.trim();
    const messages: ChatMessage[] = [{ role: 'user', content: prompt }];
    if (system !== '') messages.unshift({ role: 'system', content: system });
    this.asked = { system, prompt };
    this.draft = '';
    this.busy = true;
    const columns = this.columns;
    for (const column of columns) {
      column.answer = null;
      column.queued = true;
    }
    for (const column of columns) {
      if (turn !== this.#turn || !this.columns.includes(column)) continue;
      const adapter = adapters.find((candidate) => candidate.id === column.adapterId);
      const answer = this.#chat.ask({
        model: { id: model.id },
        adapters: adapter === undefined ? [] : [{ path: adapter.path, weight: column.weight }],
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
      column.queued = false;
      column.answer = answer;
      this.#writing = answer;
      await answer.finished;
    }
    if (turn !== this.#turn) return;
    this.#writing = null;
    this.busy = false;
  }

  stop(): void {
    this.#turn++;
    this.busy = false;
    for (const column of this.columns) column.queued = false;
    const answer = this.#writing;
    this.#writing = null;
    if (answer !== null) this.#chat.stop(answer);
  }
}
