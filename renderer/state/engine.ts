/** Typed questions to the engine and the shell. Failures arrive as values and leave here as an `EngineProblem`. */
import type {
  AllEvents,
  AllRequests,
  EventName,
  Params,
  ProblemValue,
  RequestName,
  Result,
  StudioBridge,
} from '../../engine/contract.ts';

export class EngineProblem extends Error {
  readonly value: ProblemValue;
  constructor(value: ProblemValue) {
    super(value.message);
    this.name = 'EngineProblem';
    this.value = value;
  }
}

/** What to show for anything caught in the window. */
export function problemOf(error: unknown): ProblemValue {
  if (error instanceof EngineProblem) return error.value;
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'internal',
    message: `Something in the window went wrong: ${message}`,
    hint: 'This is a bug. Reload the window (Ctrl R); nothing in the engine is lost.',
  };
}

export class Engine {
  readonly #bridge: StudioBridge;

  constructor(bridge: StudioBridge) {
    this.#bridge = bridge;
  }

  async request<N extends RequestName>(name: N, ...args: Parameters<AllRequests[N]>): Promise<Result<AllRequests, N>> {
    const answer = await this.#bridge.request(name, args[0] as Params<AllRequests, N>);
    if ('problem' in answer) throw new EngineProblem(answer.problem);
    return answer.ok;
  }

  /** Returns the function that ends the subscription. */
  on<N extends EventName>(name: N, listener: (payload: AllEvents[N]) => void): () => void {
    return this.#bridge.on(name, listener);
  }
}
