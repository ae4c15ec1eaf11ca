/**
 * Connects to the engine host: finds the host of a data folder, starts it when none lives, and speaks JSON lines with it.
 * Electron's main process and the command line use this file, so it needs nothing but plain Node.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, closeSync, lstatSync, openSync, realpathSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { homedir, tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer, EngineEvents, EngineRequests, HostMessage, Params, Result } from './contract.ts';
import { makeFolder } from './formats/files.ts';
import { encodeFrame, isAnswer, longestAnswer, longestFrame, readFrames, tooLong, writeFrame } from './frames.ts';
import { lockHolder } from './lock.ts';
import { Problem } from './problem.ts';
import { processStatus } from './processes.ts';
import { versions } from './versions.ts';

/** Gives the longest path of a Unix socket, in bytes, that every system we run on takes, less some room (macOS: 104). */
const longestSocketPath = 100;

/** Returns `LOWRANK_HOME`, or the folder that the platform provides for data of applications. */
export function defaultDataDir(): string {
  const chosen = process.env['LOWRANK_HOME'];
  if (chosen) return resolve(chosen);
  if (process.platform === 'win32')
    return join(process.env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'), 'Lowrank Studio');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'Lowrank Studio');
  return join(process.env['XDG_DATA_HOME'] || join(homedir(), '.local', 'share'), 'lowrank-studio');
}

/** Says where the host of a data folder keeps its lock, log and socket. */
export interface HostPlaces {
  /** Gives the data folder with links resolved, so that two names of it mean one host. */
  readonly dataDir: string;
  readonly socket: string;
  readonly lock: string;
  readonly log: string;
}

/** Makes the folders of a host, readable by their owner alone. */
export function hostPlaces(dataDir: string): HostPlaces {
  try {
    makeFolder(dataDir, 0o700);
    const real = realpathSync(dataDir);
    const folder = join(real, 'host');
    makeFolder(folder, 0o700);
    chmodSync(folder, 0o700);
    return { dataDir: real, socket: socketPath(real, folder), lock: join(folder, 'lock'), log: join(folder, 'log.txt') };
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(
      'folder-unwritable',
      `The data folder ${dataDir} cannot be used: ${(error as Error).message}.`,
      'Choose a writable folder with --data-dir or LOWRANK_HOME.',
      { cause: error },
    );
  }
}

function socketPath(dataDir: string, folder: string): string {
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  if (process.platform === 'win32') return `\\\\.\\pipe\\lowrank-${hash}`;
  const near = join(folder, 'socket');
  if (Buffer.byteLength(near) <= longestSocketPath) return near;
  const { uid } = userInfo();
  const short = join(process.env['XDG_RUNTIME_DIR'] || tmpdir(), `lowrank-${uid}-${hash}`);
  makeFolder(short, 0o700);
  const status = lstatSync(short);
  if (!status.isDirectory() || status.uid !== uid || (status.mode & 0o077) !== 0)
    throw new Problem(
      'not-allowed',
      `The folder ${short} belongs to another user, or other users can access it.`,
      'Remove it, or choose a data folder with a shorter path.',
    );
  return join(short, 'socket');
}

/**
 * Gives the longest wait for a host, in milliseconds. One that was started here may be slowed by a busy machine; another one
 * that is silent hangs.
 */
const limitOfOwnHost = 120_000;
const limitOfOtherHost = 30_000;
/** Gives the silence in milliseconds after which a host is examined, and its clients are told. */
const silenceOfHost = 3000;

/**
 * Limits the part of V8's heap for short-lived objects. Without a limit it grows to 48 MB once a host is busy and never
 * shrinks. A host handles little at a time, so three times 4 MB are as fast.
 */
const hostMemory = ['--max-semi-space-size=4'];

/** Gives the exit status of a host that has no space for its lock. Its log may have no space either. */
export const fullDiskStatus = 28;

export interface HostOptions {
  /** Gives the Node 24 binary that runs the host. If it is left out, it is that of this process. */
  readonly node?: string;
  /** Gives the script of the host. If it is left out, it is `host.ts` beside this file. */
  readonly hostEntry?: string;
  /** Holds variables that are added to the environment of a host that has to be started. */
  readonly env?: Readonly<Record<string, string>>;
  /** Receives a sentence when the host keeps people waiting; it says why, if that is known. */
  readonly onSilence?: (text: string) => void;
}

export interface HostClient {
  /**
   * Sends a request, and rejects with the Problem it ends in. When `signal` fires, the host learns that nobody waits; its
   * answer, usually a `Problem` with the code `stopped`, still comes.
   */
  request<N extends keyof EngineRequests>(
    name: N,
    params: Params<EngineRequests, N>,
    signal?: AbortSignal,
  ): Promise<Result<EngineRequests, N>>;
  /** Subscribes to an event, and returns the function that ends the subscription. */
  on<N extends keyof EngineEvents>(name: N, listener: (payload: EngineEvents[N]) => void): () => void;
  /** Subscribes to every event, for a relay; returns the function that ends the subscription. */
  onEvent(listener: (name: keyof EngineEvents, payload: unknown) => void): () => void;
  /** Calls `listener` when the connection has ended, by `close` or because the host went away. */
  onClose(listener: () => void): void;
  close(): void;
}

/**
 * Connects to the host of `dataDir` and starts it when none lives. Several may do so at once: all of them meet at one host. Rejects within
 * seconds when the host is halted, and after half a minute when it does not answer for another reason.
 */
export async function connectHost(dataDir: string, options: HostOptions = {}): Promise<HostClient> {
  const places = hostPlaces(dataDir);
  const halted = new AbortController();
  let isTold = false;
  const look = setInterval(() => {
    const holder = lockHolder(places.lock);
    if (holder !== null && isHalted(holder.pid)) halted.abort(haltedHost(holder.pid));
    else if (!isTold) options.onSilence?.(`Waiting for the engine of ${places.dataDir} to answer.`);
    isTold = true;
  }, silenceOfHost);
  try {
    return await meetHost(places, options, halted.signal);
  } finally {
    clearInterval(look);
  }
}

const isHalted = (pid: number): boolean => processStatus(pid)?.state === 'halted';

function haltedHost(pid: number): Problem {
  return new Problem(
    'host-unreachable',
    `The engine does not answer because its process ${pid} is suspended.`,
    `Wake it with 'kill -CONT ${pid}', which loses nothing, or end it with 'kill -KILL ${pid}': runs then continue from their last checkpoint.`,
  );
}

/** Waits for a host, and starts one if none lives. `halted` ends the wait. */
async function meetHost(places: HostPlaces, options: HostOptions, halted: AbortSignal): Promise<HostClient> {
  const since = performance.now();
  const first = await tryConnect(places.socket, options, halted);
  if (first) return first;
  halted.throwIfAborted();

  let ended: { code: number | null; signal: string | null } | null = null;
  let startedAt = 0;
  const start = () => {
    startedAt = performance.now();
    ended = null;
    startHost(places, options, (code, signal) => (ended = { code, signal }));
  };
  start();
  for (;;) {
    await new Promise((done) => setTimeout(done, 40));
    halted.throwIfAborted();
    const client = await tryConnect(places.socket, options, halted);
    if (client) return client;
    halted.throwIfAborted();
    const exit = ended as { code: number | null; signal: string | null } | null;
    if (performance.now() - since > (exit === null ? limitOfOwnHost : limitOfOtherHost)) break;
    if (exit === null) continue;
    if (exit.code === fullDiskStatus)
      throw new Problem(
        'disk-full',
        `There is no space left in the data folder ${places.dataDir}.`,
        'Free some space, or choose another data folder with --data-dir or LOWRANK_HOME.',
      );
    if (exit.code !== 0) {
      const how = exit.signal === null ? `exit code ${exit.code}` : exit.signal;
      throw new Problem('host-unreachable', `The engine could not start (${how}).`, `Its log is ${places.log}.`);
    }
    // Another host held the lock and may be ending just now, so ours gave up. Ask again from time to time.
    if (performance.now() - startedAt > 1000) start();
  }
  throw new Problem(
    'host-unreachable',
    `The engine of ${places.dataDir} does not answer.`,
    `Its log is ${places.log}. If the process named in ${places.lock} hangs, end it.`,
  );
}

function startHost(
  places: HostPlaces,
  options: HostOptions,
  onExit: (code: number | null, signal: string | null) => void,
): void {
  const entry = options.hostEntry ?? fileURLToPath(new URL('./host.ts', import.meta.url));
  const log = openSync(places.log, 'a', 0o600);
  const child = spawn(options.node ?? process.execPath, [...hostMemory, entry, '--data-dir', places.dataDir], {
    detached: true,
    // The host outlives this process, so it must not keep the folder in use that we were started in.
    cwd: places.dataDir,
    stdio: ['ignore', log, log],
    windowsHide: true,
    // Our code is stripped of types and compiled once for the host and all of its jobs, which saves most of a second for each
    // job. Where the process that starts us already has a compile cache, ours is kept there.
    env: { NODE_COMPILE_CACHE: join(places.dataDir, 'cache', 'code'), ...process.env, ...options.env },
  });
  closeSync(log);
  child.on('exit', onExit);
  child.on('error', () => onExit(1, null));
  child.unref();
}

/**
 * Makes the Problem of two versions of the studio that meet. A message may mean something else in the other version, so neither
 * side acts on it.
 */
export function otherStudio(engine: string | undefined, client: string | undefined): Problem {
  const named = (version: string | undefined): string =>
    version === undefined ? 'an earlier Lowrank Studio' : `Lowrank Studio ${version}`;
  return new Problem(
    'not-allowed',
    `The engine that is running for this data folder belongs to ${named(engine)}, but this window or command belongs to ${named(client)}.`,
    'Close all windows and commands of the other version, and stop its runs or let them finish. Its engine then exits within seconds, and you can start again.',
  );
}

/**
 * Returns a client once the host has said hello, or null when there is no host or it is just ending. A host of another version
 * is refused.
 */
function tryConnect(path: string, { onSilence }: HostOptions, halted: AbortSignal): Promise<HostClient | null> {
  return new Promise((done, fail) => {
    const socket = createConnection(path);
    const giveUp = () => socket.destroy();
    const timer = setTimeout(giveUp, 10_000);
    halted.addEventListener('abort', giveUp);
    const settled = () => {
      clearTimeout(timer);
      halted.removeEventListener('abort', giveUp);
    };
    socket.on('error', giveUp);
    socket.once('close', () => {
      settled();
      done(null);
    });
    const client = new SocketClient(socket, onSilence, (studio) => {
      settled();
      if (studio === versions.studio) done(client);
      else {
        fail(otherStudio(studio, versions.studio));
        client.close();
      }
    });
  });
}

class SocketClient implements HostClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<
    number,
    { resolve: (value: never) => void; reject: (problem: Problem) => void; parts: string[]; characters: number }
  >();
  readonly #listeners = new Set<(name: keyof EngineEvents, payload: unknown) => void>();
  readonly #closeListeners = new Set<() => void>();
  #lastId = 0;
  #closed = false;
  /** Says what the host sent that was not a message, or is null while it sent nothing of the kind. */
  #why: string | null = null;
  #host: number | null = null;
  #heardAt = performance.now();
  #toldOfHalt = false;

  /** `onHello` receives the version of the host's studio, if the host gives one. */
  constructor(socket: Socket, onSilence: ((text: string) => void) | undefined, onHello: (studio: string | undefined) => void) {
    this.#socket = socket;
    socket.once('connect', () => this.#send({ type: 'hello', pid: process.pid, studio: versions.studio }));
    readFrames(
      socket,
      (message) => this.#receive(message, onHello),
      (bad) => this.#leave(bad),
    );
    const look = onSilence && setInterval(() => this.#lookAtSilence(onSilence), silenceOfHost).unref();
    socket.on('close', () => {
      clearInterval(look);
      this.#closed = true;
      for (const { reject } of this.#waiting.values()) reject(lost(this.#why));
      this.#waiting.clear();
      for (const listener of this.#closeListeners) listener();
    });
  }

  /** Tells once of a host that is halted. A host that has nothing to say may be silent for hours. */
  #lookAtSilence(onSilence: (text: string) => void): void {
    const isSilent = performance.now() - this.#heardAt >= silenceOfHost;
    const isStill = isSilent && this.#host !== null && isHalted(this.#host);
    if (isStill && !this.#toldOfHalt) {
      const { message, hint } = haltedHost(this.#host!);
      onSilence(`${message} ${hint}`);
    }
    this.#toldOfHalt = isStill;
  }

  #receive(message: HostMessage, onHello: (studio: string | undefined) => void): void {
    this.#heardAt = performance.now();
    switch (message.type) {
      case 'hello':
        this.#host = message.pid;
        onHello(message.studio);
        return;
      case 'event':
        for (const listener of [...this.#listeners]) listener(message.name, message.payload);
        return;
      case 'answer':
        this.#settle(message.id, message.answer);
        return;
      case 'part':
        this.#addPart(message);
    }
  }

  #addPart({ id, text, last }: Extract<HostMessage, { type: 'part' }>): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    waiting.parts.push(text);
    waiting.characters += text.length;
    if (waiting.characters > longestAnswer) return this.#leave('an answer that is too long');
    if (!last) return;
    let answer: unknown = null;
    try {
      answer = JSON.parse(waiting.parts.join(''));
    } catch {
      // Text that is not JSON is not an answer either.
    }
    if (isAnswer(answer)) this.#settle(id, answer);
    else this.#leave('parts that do not form an answer');
  }

  #settle(id: number, answer: Answer<unknown>): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if ('ok' in answer) waiting?.resolve(answer.ok as never);
    else waiting?.reject(Problem.fromValue(answer.problem));
  }

  /** Ends the connection to a host that sends something that is not a message. */
  #leave(bad: string): void {
    this.#why = `It sent ${bad}.`;
    this.#socket.destroy();
  }

  async request<N extends keyof EngineRequests>(
    name: N,
    params: Params<EngineRequests, N>,
    signal?: AbortSignal,
  ): Promise<Result<EngineRequests, N>> {
    if (this.#closed) throw lost(null);
    if (signal?.aborted) throw cancelled();
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<Result<EngineRequests, N>>();
    this.#waiting.set(id, { resolve: answer.resolve, reject: answer.reject, parts: [], characters: 0 });
    if (!this.#send({ type: 'request', id, name, params: params ?? null })) {
      this.#waiting.delete(id);
      throw tooLong(`The request '${name}'`, longestFrame, 'Request less at a time.');
    }
    const cancel = () => void this.#send({ type: 'cancel', id });
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await answer.promise;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** Sends a message; returns false when it is too long. */
  #send(message: HostMessage): boolean {
    const frame = encodeFrame(message);
    if (frame !== null) writeFrame(this.#socket, frame);
    return frame !== null;
  }

  on<N extends keyof EngineEvents>(name: N, listener: (payload: EngineEvents[N]) => void): () => void {
    return this.onEvent((event, payload) => {
      if (event === name) listener(payload as EngineEvents[N]);
    });
  }

  onEvent(listener: (name: keyof EngineEvents, payload: unknown) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closeListeners.add(listener);
  }

  close(): void {
    this.#socket.end();
    this.#socket.destroy();
  }
}

function cancelled(): Problem {
  return new Problem('stopped', 'It was cancelled before it started.', 'Try again.');
}

function lost(why: string | null): Problem {
  const message = why === null ? 'The connection to the engine was lost.' : `The connection to the engine was lost. ${why}`;
  return new Problem('host-unreachable', message, 'Try again. Runs continue from their last checkpoint.');
}
