/**
 * Holds the playground: one prompt, answered by the base and by adapters side by side. The answers last as long as the window,
 * so they continue while another screen is open.
 */
import type { AdapterVersion, ChatMessage, Model } from '../../engine/contract.ts';
import type { Answer, ChatState } from './chat.svelte.ts';

export const mostLanes = 4;

/** Represents one column: the base alone (`adapterId` null), or the base with an adapter of some weight. */
export class Lane {
  adapterId = $state<string | null>(null);
  weight = $state(1);
  answer = $state.raw<Answer | null>(null);
  /** Says whether it still waits. Lanes are asked one after another, because they share one copy of the base. */
  queued = $state(false);
  readonly key: number;

  constructor(key: number, adapterId: string | null) {
    this.key = key;
    this.adapterId = adapterId;
  }
}

export class PlaygroundState {
  lanes = $state.raw<readonly Lane[]>([new Lane(0, null)]);
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
  /** Counts the questions. A stopped question does not continue with its next lane. */
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
    if (this.lanes.length < mostLanes) this.lanes = [...this.lanes, new Lane(this.#nextKey++, adapterId)];
  }

  remove(lane: Lane): void {
    if (lane.answer !== null && lane.answer === this.#writing) this.stop();
    this.lanes = this.lanes.filter((other) => other !== lane);
  }

  /** Puts an adapter beside the base, unless it has a column already. */
  compareWithBase(adapter: AdapterVersion): void {
    if (adapter.modelId !== this.modelId) {
      this.modelId = adapter.modelId;
      this.lanes = [new Lane(this.#nextKey++, null)];
    }
    if (this.lanes.some((lane) => lane.adapterId === adapter.id)) return;
    this.lanes = [...this.lanes.slice(0, mostLanes - 1), new Lane(this.#nextKey++, adapter.id)];
  }

  /** Switches to another base. The adapters of the old one do not fit it, so their columns are removed. */
  changeModel(id: string): void {
    if (id === this.modelId) return;
    this.modelId = id;
    this.lanes = [new Lane(this.#nextKey++, null)];
    this.asked = null;
  }

  /** Asks all lanes the same prompt with the same seed, one after another. */
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
    const lanes = this.lanes;
    for (const lane of lanes) {
      lane.answer = null;
      lane.queued = true;
    }
    for (const lane of lanes) {
      if (turn !== this.#turn || !this.lanes.includes(lane)) continue;
      const adapter = adapters.find((candidate) => candidate.id === lane.adapterId);
      const answer = this.#chat.ask({
        model: { id: model.id },
        adapters: adapter === undefined ? [] : [{ path: adapter.path, weight: lane.weight }],
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
      lane.queued = false;
      lane.answer = answer;
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
    for (const lane of this.lanes) lane.queued = false;
    const answer = this.#writing;
    this.#writing = null;
    if (answer !== null) this.#chat.stop(answer);
  }
}
