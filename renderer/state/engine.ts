/** Sends typed requests to the engine and the shell. Failures arrive as values and leave here as an `EngineProblem`. */
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

/** Returns what to show for anything that was caught in the window. */
export function problemOf(error: unknown): ProblemValue {
  if (error instanceof EngineProblem) return error.value;
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'internal',
    message: `Something in the window went wrong: ${message}`,
    hint: 'This is a bug. Reload the window (Ctrl R); nothing in the engine is lost.',
  };
}

export interface Asking {
  /** Cancels the request. It then fails with `stopped`, or is answered where that comes too late. */
  readonly signal?: AbortSignal;
}
/** Holds the parameters, where the request has some, and how it is asked. */
type Arguments<N extends RequestName> =
  Parameters<AllRequests[N]> extends [] ? [] : [...Parameters<AllRequests[N]>, asking?: Asking];

export class Engine {
  readonly #bridge: StudioBridge;
  #lastTicket = 0;

  constructor(bridge: StudioBridge) {
    this.#bridge = bridge;
  }

  async request<N extends RequestName>(name: N, ...args: Arguments<N>): Promise<Result<AllRequests, N>> {
    const [params, asking] = args as [params?: Params<AllRequests, N>, asking?: Asking];
    if (asking?.signal?.aborted)
      throw new EngineProblem({ code: 'stopped', message: 'It was stopped before it began.', hint: 'Start it again.' });
    const ticket = ++this.#lastTicket;
    const cancel = () => this.#bridge.cancel(ticket);
    asking?.signal?.addEventListener('abort', cancel, { once: true });
    try {
      const answer = await this.#bridge.request(name, params as Params<AllRequests, N>, ticket);
      if ('problem' in answer) throw new EngineProblem(answer.problem);
      return answer.ok;
    } finally {
      asking?.signal?.removeEventListener('abort', cancel);
    }
  }

  /** Subscribes to an event, and returns the function that ends the subscription. */
  on<N extends EventName>(name: N, listener: (payload: AllEvents[N]) => void): () => void {
    return this.#bridge.on(name, listener);
  }
}
