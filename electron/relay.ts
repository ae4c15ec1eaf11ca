/**
 * Passes requests of the window on to the engine host, and its events back. It checks who asks, for what, in which shape
 * (engine/host/request-shapes.ts) and for which paths (allowed-paths.ts). Requests named `shell.` are answered here.
 */
import { ipcMain, type BrowserWindow, type WebFrameMain } from 'electron';
import { isAbsolute } from 'node:path';
import type { AllEvents, Answer, EventName, Handlers, ShellRequests } from '../engine/contract.ts';
import { checkRequest } from '../engine/host/request-shapes.ts';
import { Problem, toProblemValue } from '../engine/problem.ts';
import { connectHost, type HostClient, type HostOptions } from '../engine/rpc.ts';
import { type AllowedPaths, isEngineRequest } from './allowed-paths.ts';
import { cancelChannel, dropChannel, eventChannel, requestChannel } from './channels.ts';
import { isOurs } from './protocol.ts';

/** Limits the characters of a request on its way to the engine; the window never needs more. */
const largestRequest = 16_000_000;

/** Gives the time after which the connection to a lost host is tried again. */
const retryMilliseconds = 500;

/** Connects the window with the shell's own handlers and the engine host. */
export class Relay {
  readonly #dataDir: string;
  readonly #options: HostOptions;
  readonly #shell: Handlers<ShellRequests>;
  readonly #allowed: AllowedPaths;
  #window: BrowserWindow | null = null;
  #client: Promise<HostClient> | null = null;
  /** Cancels the requests on their way, by the ticket that the page gave each. */
  readonly #cancels = new Map<unknown, AbortController>();
  #engine: AllEvents['shell.engine'] = { state: 'starting', problem: null };
  #closing = false;

  constructor(dataDir: string, options: HostOptions, shell: Handlers<ShellRequests>, allowed: AllowedPaths) {
    this.#dataDir = dataDir;
    this.#options = options;
    this.#shell = shell;
    this.#allowed = allowed;
    ipcMain.handle(requestChannel, (event, name: unknown, params: unknown, ticket: unknown) =>
      this.#cancellable(ticket, (signal) => this.#answer(event.senderFrame, name, params, signal)),
    );
    ipcMain.on(cancelChannel, (event, ticket: unknown) => {
      if (this.#isOurPage(event.senderFrame)) this.#cancels.get(ticket)?.abort();
    });
    ipcMain.on(dropChannel, (event, paths: unknown) => this.#drop(event.senderFrame, paths));
  }

  /** Sends events to this window from now on, and tells a page that loads again the state of the engine. */
  attach(window: BrowserWindow): void {
    this.#window = window;
    window.webContents.on('did-finish-load', () => this.emit('shell.engine', this.#engine));
    window.on('closed', () => (this.#window = null));
  }

  emit<N extends EventName>(name: N, payload: AllEvents[N]): void {
    if (this.#window && !this.#window.isDestroyed()) this.#window.webContents.send(eventChannel, name, payload);
  }

  /** Returns the connection to the host, and makes it when there is none. */
  connect(): Promise<HostClient> {
    if (this.#closing) return Promise.reject(new Problem('stopped', 'The studio is closing.', 'Start it again.'));
    this.#client ??= this.#open();
    return this.#client;
  }

  close(): void {
    this.#closing = true;
    this.#client?.then(
      (client) => client.close(),
      () => {},
    );
  }

  async #open(): Promise<HostClient> {
    this.#tell('starting', null);
    try {
      const client = await connectHost(this.#dataDir, this.#options);
      client.onEvent((name, payload) => this.emit(name, payload as never));
      client.onClose(() => this.#lost());
      this.#tell('ready', null);
      return client;
    } catch (error) {
      this.#client = null;
      this.#tell('lost', toProblemValue(error));
      throw error;
    }
  }

  #lost(): void {
    this.#client = null;
    if (this.#closing) return;
    this.#tell('lost', null);
    setTimeout(() => {
      if (!this.#closing) this.connect().catch(() => {});
    }, retryMilliseconds);
  }

  #tell(state: AllEvents['shell.engine']['state'], problem: AllEvents['shell.engine']['problem']): void {
    this.#engine = { state, problem };
    this.emit('shell.engine', this.#engine);
  }

  async #cancellable(
    ticket: unknown,
    ask: (signal: AbortSignal | undefined) => Promise<Answer<unknown>>,
  ): Promise<Answer<unknown>> {
    if (!Number.isSafeInteger(ticket) || this.#cancels.has(ticket)) return ask(undefined);
    const cancel = new AbortController();
    this.#cancels.set(ticket, cancel);
    try {
      return await ask(cancel.signal);
    } finally {
      this.#cancels.delete(ticket);
    }
  }

  async #answer(
    sender: WebFrameMain | null,
    name: unknown,
    given: unknown,
    signal: AbortSignal | undefined,
  ): Promise<Answer<unknown>> {
    try {
      if (!this.#isOurPage(sender)) throw refused('The request came from a page that is not the studio.');
      if (typeof name !== 'string') throw refused('The request has no name.');
      const params = plain(given);
      if (Object.hasOwn(this.#shell, name)) {
        const shellName = name as keyof ShellRequests;
        checkRequest(shellName, params);
        return { ok: await (this.#shell[shellName] as (params: unknown) => unknown)(params) };
      }
      if (!isEngineRequest(name)) throw refused(`There is no request named ${name.slice(0, 100)}.`);
      checkRequest(name, params);
      await this.#allowed.requireIn(name, params as never);
      const client = await this.connect();
      return { ok: await client.request(name, params as never, signal) };
    } catch (error) {
      const problem = toProblemValue(error);
      if (problem.code === 'internal') console.error(error);
      return { problem };
    }
  }

  #drop(sender: WebFrameMain | null, paths: unknown): void {
    if (!this.#isOurPage(sender) || !Array.isArray(paths)) return;
    const dropped = paths.filter((path): path is string => typeof path === 'string' && isAbsolute(path));
    if (dropped.length === 0) return;
    this.#allowed.allow(dropped);
    this.emit('shell.dropped', { paths: dropped });
  }

  #isOurPage(frame: WebFrameMain | null): boolean {
    return frame !== null && frame === this.#window?.webContents.mainFrame && isOurs(frame.url);
  }
}

/** Returns the value as the engine will read it, so that what is checked here is what arrives there. */
function plain(given: unknown): unknown {
  let text: string | undefined;
  try {
    text = JSON.stringify(given);
  } catch {
    throw wrong('cannot be written as JSON');
  }
  if (text === undefined || text === 'null') return undefined;
  if (text.length > largestRequest) throw wrong(`is longer than ${largestRequest / 1_000_000} million characters`);
  return JSON.parse(text);
}

function wrong(what: string): Problem {
  return new Problem('request-invalid', `The request ${what}.`, 'Restart the studio.');
}
function refused(message: string): Problem {
  return new Problem('not-allowed', message, 'Restart the studio.');
}
