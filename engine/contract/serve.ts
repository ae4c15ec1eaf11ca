/** Defines the endpoint that answers other programs of this computer in the form of OpenAI's API. */
import type { AdapterWeight } from './adapters.ts';
import type { ModelRef } from './models.ts';

export interface ServeRequest {
  readonly model: ModelRef;
  readonly adapters: readonly AdapterWeight[];
  /** Gives the port, from 1024. If it is left out, the system chooses a free one. */
  readonly port?: number;
}
/** Says what is served, and what the endpoint is doing. It never holds the token. */
export interface ServeState {
  /** Gives what programs use as the base URL, such as `http://127.0.0.1:43127/v1`. */
  readonly url: string;
  /** Gives the name that programs ask for as `model`. */
  readonly model: string;
  readonly base: { readonly name: string; readonly path: string };
  readonly adapters: readonly (AdapterWeight & { readonly name: string })[];
  /** Counts the requests that were answered, that wait for their turn, and whether one is being answered. */
  readonly answered: number;
  readonly waiting: number;
  readonly isAnswering: boolean;
}
/** Holds a new endpoint with its token, which is told to whoever started it and to nobody else. */
export interface StartedEndpoint extends ServeState {
  readonly token: string;
}
export interface ServeRequests {
  /** Starts the endpoint. It ends with the connection that started it, and none is started by itself. */
  'serve.start': (p: ServeRequest) => StartedEndpoint;
  'serve.stop': () => null;
  'serve.state': () => ServeState | null;
}
export interface ServeEvents {
  /** Says what is served now, or null where nothing is. */
  'serve.changed': ServeState | null;
}
