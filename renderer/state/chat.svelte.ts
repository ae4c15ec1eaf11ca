import type { GenerateRequest, GenerateResult, ProblemValue } from '../../engine/contract.ts';
import { type Engine, problemOf } from './engine.ts';

/** Holds one answer, while it is written and after. */
export class Answer {
  text = $state('');
  tokens = $state(0);
  state = $state<'waiting' | 'writing' | 'done' | 'stopped' | 'failed'>('waiting');
  problem = $state.raw<ProblemValue | null>(null);
  result = $state.raw<GenerateResult | null>(null);
  /** Gives the tokens per second since the first token, or null before the second. */
  rate = $state<number | null>(null);
  /** Resolves when nothing more will come; never rejects. */
  finished: Promise<void> = Promise.resolve();
  readonly streamId: string;
  readonly cancel = new AbortController();

  constructor(streamId: string) {
    this.streamId = streamId;
  }
}

/** Asks models for answers, fills these with tokens as they come, and stops them. */
export class ChatState {
  readonly #engine: Engine;
  readonly #answers = new Map<string, { answer: Answer; firstAt: number | null }>();

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.on('generate.token', ({ streamId, text }) => {
      const stream = this.#answers.get(streamId);
      if (stream === undefined) return;
      const { answer } = stream;
      // Requests that were in progress when it was stopped still count, but none starts again.
      if (answer.state !== 'stopped') answer.state = 'writing';
      answer.text += text;
      answer.tokens++;
      const now = performance.now();
      if (stream.firstAt === null) stream.firstAt = now;
      else answer.rate = ((answer.tokens - 1) * 1000) / Math.max(1, now - stream.firstAt);
    });
  }

  /** Starts an answer, which then grows as tokens arrive. */
  ask(request: Omit<GenerateRequest, 'streamId'>): Answer {
    const streamId = crypto.randomUUID();
    const answer = new Answer(streamId);
    this.#answers.set(streamId, { answer, firstAt: null });
    answer.finished = this.#follow(answer, { ...request, streamId });
    return answer;
  }

  /** Leaves an answer as far as it is written. */
  stop(answer: Answer): void {
    answer.state = 'stopped';
    answer.cancel.abort();
  }

  async #follow(answer: Answer, request: GenerateRequest): Promise<void> {
    try {
      const result = await this.#engine.request('generate.start', request, { signal: answer.cancel.signal });
      answer.result = result;
      answer.text = result.text;
      answer.tokens = result.tokens.length;
      if (answer.state !== 'stopped') answer.state = 'done';
    } catch (error) {
      const problem = problemOf(error);
      if (problem.code === 'stopped') answer.state = 'stopped';
      else {
        answer.problem = problem;
        answer.state = 'failed';
      }
    }
    this.#answers.delete(answer.streamId);
  }
}
