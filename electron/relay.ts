/**
 * Passes requests of the window on to the engine host and its events back. It checks who asks and for what; values are checked by the
 * engine (host/request-shapes.ts). Requests named `shell.` are answered here.
 */
import { ipcMain, type BrowserWindow, type IpcMainInvokeEvent } from 'electron';
import type { AllEvents, Answer, EngineRequests, EventName, Handlers, ShellRequests } from '../engine/contract.ts';
import { Problem, toProblemValue } from '../engine/problem.ts';
import { connectHost, type HostClient, type HostOptions } from '../engine/rpc.ts';
import { eventChannel, requestChannel } from './channels.ts';
import { origin } from './protocol.ts';

/** Every request the engine answers: complete by type, so a new one that is missing here does not compile. */
const engineRequests: Record<keyof EngineRequests, true> = {
  'machine.get': true,
  'machine.measure': true,
  'machine.memory': true,
  'projects.list': true,
  'projects.create': true,
  'projects.rename': true,
  'models.list': true,
  'models.add': true,
  'models.remove': true,
  'models.targets': true,
  'datasets.list': true,
  'datasets.add': true,
  'datasets.columns': true,
  'datasets.remove': true,
  'datasets.rows': true,
  'datasets.report': true,
  'runs.list': true,
  'runs.get': true,
  'runs.plan': true,
  'runs.fit': true,
  'runs.start': true,
  'runs.pause': true,
  'runs.stop': true,
  'runs.resume': true,
  'runs.update': true,
  'runs.remove': true,
  'runs.metrics': true,
  'runs.schedule': true,
  'runs.samples': true,
  'runs.log': true,
  'runs.checkpoints': true,
  'adapters.list': true,
  'adapters.import': true,
  'adapters.update': true,
  'adapters.norms': true,
  'generate.start': true,
  'generate.stop': true,
  'exports.choices': true,
  'exports.list': true,
  'exports.start': true,
  'exports.stop': true,
  'exports.programs': true,
  'exports.install': true,
  'exports.identify': true,
  'evaluate.start': true,
  'data.render': true,
  'data.report': true,
  'inspect.path': true,
  'sample.start': true,
  'sample.get': true,
  'sample.stop': true,
  'notices.take': true,
};

/** A host that was lost is looked for again after this long. */
const retryMilliseconds = 500;

export class Relay {
  readonly #dataDir: string;
  readonly #options: HostOptions;
  readonly #shell: Handlers<ShellRequests>;
  #window: BrowserWindow | null = null;
  #client: Promise<HostClient> | null = null;
  #engine: AllEvents['shell.engine'] = { state: 'starting', problem: null };
  #closing = false;

  constructor(dataDir: string, options: HostOptions, shell: Handlers<ShellRequests>) {
    this.#dataDir = dataDir;
    this.#options = options;
    this.#shell = shell;
    ipcMain.handle(requestChannel, (event, name: unknown, params: unknown) => this.#answer(event, name, params));
  }

  /** Events go to this window from now on; a page that loads again is told how the engine stands. */
  attach(window: BrowserWindow): void {
    this.#window = window;
    window.webContents.on('did-finish-load', () => this.emit('shell.engine', this.#engine));
    window.on('closed', () => (this.#window = null));
  }

  emit<N extends EventName>(name: N, payload: AllEvents[N]): void {
    if (this.#window && !this.#window.isDestroyed()) this.#window.webContents.send(eventChannel, name, payload);
  }

  /** The connection to the host, made when there is none. */
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

  async #answer(event: IpcMainInvokeEvent, name: unknown, params: unknown): Promise<Answer<unknown>> {
    try {
      if (!this.#isOurPage(event)) throw refused('The request came from a page that is not the studio.');
      if (typeof name !== 'string') throw refused('The request has no name.');
      if (Object.hasOwn(this.#shell, name)) {
        const handler = this.#shell[name as keyof ShellRequests] as (params: unknown) => unknown;
        return { ok: await handler(params ?? undefined) };
      }
      if (!Object.hasOwn(engineRequests, name)) throw refused(`There is no request named ${name}.`);
      const client = await this.connect();
      return { ok: await client.request(name as keyof EngineRequests, params as never) };
    } catch (error) {
      const problem = toProblemValue(error);
      if (problem.code === 'internal') console.error(error);
      return { problem };
    }
  }

  #isOurPage(event: IpcMainInvokeEvent): boolean {
    const frame = event.senderFrame;
    if (!frame || !this.#window || frame !== this.#window.webContents.mainFrame) return false;
    const url = new URL(frame.url);
    return `${url.protocol}//${url.host}` === origin;
  }
}

function refused(message: string): Problem {
  return new Problem('not-allowed', message, 'Restart the studio.');
}
