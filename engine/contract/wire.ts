/** Defines how requests, answers and events of any kind cross a process border. */
import type { Answer } from '../problem.ts';
import type { AdapterEvents, AdapterRequests } from './adapters.ts';
import type { AnswerEvents, AnswerRequests } from './answers.ts';
import type { DataRequests } from './data.ts';
import type { EvaluationEvents, EvaluationRequests } from './evaluations.ts';
import type { ExportEvents, ExportRequests } from './exports.ts';
import type { JobEvents } from './jobs.ts';
import type { MachineEvents, MachineRequests } from './machine.ts';
import type { ModelEvents, ModelRequests } from './models.ts';
import type { RunEvents, RunRequests } from './runs.ts';
import type { ServeEvents, ServeRequests } from './serve.ts';
import type { ShellEvents, ShellRequests } from './shell.ts';

/**
 * Maps the name of each request to its function. The engine host answers all of these; names with `shell.` are in
 * `ShellRequests`.
 */
export interface EngineRequests
  extends
    MachineRequests,
    ModelRequests,
    DataRequests,
    RunRequests,
    AdapterRequests,
    AnswerRequests,
    EvaluationRequests,
    ExportRequests,
    ServeRequests {}
/** Maps the name of each event to its payload. The host stores first and emits after. */
export interface EngineEvents
  extends
    MachineEvents,
    ModelEvents,
    RunEvents,
    AdapterEvents,
    AnswerEvents,
    EvaluationEvents,
    ExportEvents,
    ServeEvents,
    JobEvents {}
export type AllRequests = EngineRequests & ShellRequests;
export type AllEvents = EngineEvents & ShellEvents;
export type RequestName = keyof AllRequests;
export type EventName = keyof AllEvents;
export type Params<R, N extends keyof R> = R[N] extends (p: infer P) => unknown ? P : undefined;
export type Result<R, N extends keyof R> = R[N] extends (...args: never[]) => infer T ? T : never;
/**
 * Holds one handler for every request; code with a missing handler does not compile. `Who` is what a handler knows of the
 * client that asks.
 */
export type Handlers<R, Who extends readonly unknown[] = []> = {
  [N in keyof R]: (params: Params<R, N>, ...who: Who) => Promise<Result<R, N>> | Result<R, N>;
};
/** Describes what the preload exposes as `window.studio`: exactly these three functions. */
export interface StudioBridge {
  /** Sends a request. `ticket` is a number that the page has not used before; it is needed only to cancel the request. */
  request<N extends RequestName>(
    name: N,
    params: Params<AllRequests, N>,
    ticket?: number,
  ): Promise<Answer<Result<AllRequests, N>>>;
  /**
   * Says that nobody waits for the answer to the request with this ticket any more. An answer still comes, and says whether the
   * request was ended.
   */
  cancel(ticket: number): void;
  /** Subscribes to an event, and returns the function that ends the subscription. */
  on<N extends EventName>(name: N, listener: (payload: AllEvents[N]) => void): () => void;
}
/** Defines one line of JSON on the host's local socket, in either direction. */
export type HostMessage =
  /**
   * Opens a new connection, on either side, with the version of the sender's studio. Earlier hosts gave no version, and earlier
   * clients sent no hello.
   */
  | { readonly type: 'hello'; readonly pid: number; readonly studio?: string }
  | { readonly type: 'request'; readonly id: number; readonly name: keyof EngineRequests; readonly params: unknown }
  /**
   * Says that nobody waits for the answer to the request with this id any more. The request is ended if that is possible, and
   * the answer says so.
   */
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answer<unknown> }
  /** Carries part of an answer that is longer than a frame: a piece of its JSON, in the order of the parts. */
  | { readonly type: 'part'; readonly id: number; readonly text: string; readonly last: boolean }
  | { readonly type: 'event'; readonly name: keyof EngineEvents; readonly payload: unknown };
