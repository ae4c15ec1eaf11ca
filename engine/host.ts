/**
 * Runs the engine host, the one process of a data folder that owns its database and its jobs. Windows and command lines connect
 * to its local socket and speak JSON lines. It ends by itself when no client is connected and nothing runs.
 */
import { chmodSync, rmdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Answer, EngineEvents, EngineRequests, HostMessage, ProblemValue } from './contract.ts';
import { makeFolder } from './formats/files.ts';
import { answerFrames, encodeFrame, longestFrame, readFrames, untilRead, writeFrame } from './frames.ts';
import type { Asker, Client, HostContext } from './host/context.ts';
import { holdsLock, releaseLock, takeLock } from './lock.ts';
import { mayPass, Unsaved } from './host/unsaved.ts';
import { spawnJob } from './jobs/spawn.ts';
import { Supervisor } from './jobs/supervisor.ts';
import { logError, Problem, toProblemValue } from './problem.ts';
import { defaultDataDir, fullDiskStatus, hostPlaces, otherStudio } from './rpc.ts';
import type { Store } from './store/open.ts';
import { versions } from './versions.ts';

const idleSeconds = 3;
/** Limits the connections. Windows, commands and the programs they start need fewer, so more are a mistake. */
const mostConnections = 100;
/** Gives the size in bytes at which a new log is started. */
const longestLog = 5_000_000;

const { values } = parseArgs({ options: { 'data-dir': { type: 'string' } } });
const places = hostPlaces(values['data-dir'] ?? defaultDataDir());
try {
  if (!(await takeLock(places.lock, `${places.socket}-lock`))) process.exit(0);
} catch (error) {
  if (toProblemValue(error).code !== 'disk-full') throw error;
  process.exit(fullDiskStatus);
}
// A log on a full disk accepts no more lines, and the failure is ignored: reporting it to the log would never end.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
// A terminal's Ctrl-C is for the command line, which asks us properly.
process.on('SIGINT', () => {});

const clients = new Set<Socket>();
let handle = await open();
let openedAt = performance.now();
let opening: Promise<void> | null = null;
await listen();
// An unexpected error ends the operation in which it occurred, not the jobs and clients of everyone.
process.on('uncaughtException', logError);
process.on('unhandledRejection', logError);
let idleTimer: NodeJS.Timeout | undefined;
armIdle();

/** Gives the interval at which the host checks that its data folder is still there. */
const millisecondsBetweenLooks = 2000;
const watch = setInterval(() => void leaveLostFolder(), millisecondsBetweenLooks).unref();

type Handle = {
  request(name: string, params: unknown, asker: Asker): Promise<unknown>;
  busy(): boolean;
  close(): void;
  /** Ends every job. */
  stop(): void;
  /** Says why nothing could be opened, or is null when all is open. */
  problem: ProblemValue | null;
};

/**
 * Opens the store and everything that depends on it. When that fails, the host still listens, so that it can tell everyone why.
 */
async function open(): Promise<Handle> {
  let store: Store | null = null;
  try {
    if ((statSync(places.log, { throwIfNoEntry: false })?.size ?? 0) > longestLog) truncateSync(places.log);
    const { openStore } = await import('./store/open.ts');
    const { Upkeep } = await import('./store/upkeep.ts');
    const { ownedAlone } = await import('./host/owned-alone.ts');
    const { Library } = await import('./host/library.ts');
    const { Datasets } = await import('./host/datasets.ts');
    const { ModelProcesses } = await import('./host/model-processes.ts');
    const { AdapterRegistry } = await import('./host/adapters.ts');
    const { Devices } = await import('./host/devices.ts');
    const { Mixes } = await import('./host/mixes.ts');
    const { LocalRunner } = await import('./host/runs/local-runner.ts');
    const { RunQueue } = await import('./host/runs/queue.ts');
    const { RunRegistry } = await import('./host/runs/registry.ts');
    const { Exports } = await import('./host/exports.ts');
    const { Evaluations } = await import('./host/evaluations.ts');
    const { EndpointOfHost } = await import('./host/serving.ts');
    const { SampleProject } = await import('./host/sample-project.ts');
    const { TokenCacheKeeper } = await import('./host/token-cache.ts');
    const { handlersFor } = await import('./host/handlers.ts');
    const { checkRequest } = await import('./host/request-shapes.ts');
    const cacheDir = join(places.dataDir, 'cache');
    makeFolder(cacheDir, 0o700);
    const openToOthers = ownedAlone(places.dataDir);
    const supervisor = new Supervisor((spec) => spawnJob(spec, places.dataDir));
    store = openStore(places.dataDir);
    const { notices } = store;
    notices.onAdded(() => emit('notices.changed', null));
    if (openToOthers !== null) notices.add(openToOthers);
    const upkeep = new Upkeep(places.dataDir, store);
    const tokenCache = new TokenCacheKeeper(cacheDir);
    const unsaved = new Unsaved();
    const context: HostContext = { dataDir: places.dataDir, cacheDir, store, supervisor, unsaved, emit };
    const library = new Library(context);
    const datasets = new Datasets(context);
    const adapters = new AdapterRegistry(context);
    const processes = new ModelProcesses(context);
    const devices = new Devices(context, processes);
    const registry = new RunRegistry(context);
    const runner = new LocalRunner(supervisor, cacheDir);
    const runs = new RunQueue(context, { registry, library, datasets, adapters, devices, runner });
    const exports = new Exports(context, library, datasets);
    const evaluations = new Evaluations(context, library, datasets);
    const mixes = new Mixes(context, library, adapters);
    const sample = new SampleProject(context, { library, datasets, runs, evaluations });
    const endpoint = new EndpointOfHost(context, processes);
    const of = { devices, library, datasets, adapters, registry, runs, processes, exports, evaluations, mixes, sample };
    const parts = { ...of, endpoint };
    // A sample left by an earlier host continues with its run.
    for (const id of runs.takeOver()) sample.follow(id);
    const handlers = handlersFor(context, parts);
    return {
      request: async (name, params, asker) => {
        const handler = Object.hasOwn(handlers, name) ? handlers[name as keyof EngineRequests] : undefined;
        if (handler === undefined)
          throw new Problem(
            'request-invalid',
            `There is no request '${name}'.`,
            'Use the same version of the window and the engine.',
          );
        checkRequest(name as keyof EngineRequests, params);
        return (handler as (params: unknown, asker: Asker) => unknown)(params, asker);
      },
      busy: () =>
        runs.busy ||
        processes.busy ||
        exports.busy ||
        sample.busy ||
        upkeep.busy ||
        unsaved.busy ||
        [...supervisor.jobs].some((job) => !processes.isOfModel(job)),
      close: () => {
        upkeep.stop();
        tokenCache.stop();
        context.store.close();
      },
      stop: () => {
        for (const job of supervisor.jobs) job.kill();
      },
      problem: null,
    };
  } catch (error) {
    store?.close();
    if (!(error instanceof Problem)) logError(error);
    const problem = toProblemValue(error);
    return refusing(problem);
  }
}

/** Answers every request with the reason why nothing can be done here. */
function refusing(problem: ProblemValue): Handle {
  const request = () => Promise.reject(Problem.fromValue(problem));
  return { request, busy: () => false, close: () => {}, stop: () => {}, problem };
}

/** Gives up a data folder that was moved or removed. Any folder now in its place belongs to another host. */
function leaveLostFolder(): void {
  if (holdsLock(places.lock)) return;
  clearInterval(watch);
  const problem = new Problem(
    'file-missing',
    `The data folder ${places.dataDir} was moved or removed while the studio was using it, so its runs were stopped.`,
    'Put the folder back and restart the studio. Its runs can then be resumed from their last checkpoint.',
  );
  logError(problem);
  handle.stop();
  handle.close();
  handle = refusing(problem.toValue());
  armIdle();
}

/** Returns what answers requests now. When a disk was full, it tries to open the store again, at most once a second. */
async function current(): Promise<Handle> {
  if (handle.problem === null || !mayPass(handle.problem.code)) return handle;
  if (opening === null && performance.now() - openedAt > 1000)
    opening = open().then((opened) => {
      handle = opened;
      openedAt = performance.now();
      opening = null;
    });
  await opening;
  return handle;
}

function emit<N extends keyof EngineEvents>(name: N, payload: EngineEvents[N]): void {
  tell(clients, name, payload);
}

/** Sends an event. An event that is too long for a frame is not sent; what it tells is stored, and a request can ask for it. */
function tell<N extends keyof EngineEvents>(sockets: Iterable<Socket>, name: N, payload: EngineEvents[N]): void {
  const frame = encodeFrame({ type: 'event', name, payload });
  if (frame === null) logError(`An event '${name}' was not sent because it is larger than ${longestFrame} bytes.`);
  else for (const socket of sockets) writeFrame(socket, frame);
}

async function listen(): Promise<void> {
  // We hold the lock, so an existing socket was left behind by a host that died.
  if (process.platform !== 'win32') rmSync(places.socket, { recursive: true, force: true });
  // The previous host may have removed the socket's folder since the check.
  hostPlaces(places.dataDir);
  const server = createServer(serve);
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(places.socket, done);
  });
  // A connection that cannot be accepted for lack of handles affects one client only.
  server.on('error', logError);
  if (process.platform !== 'win32') chmodSync(places.socket, 0o600);
  server.maxConnections = mostConnections;
}

function serve(socket: Socket): void {
  clients.add(socket);
  clearTimeout(idleTimer);
  const gone = new AbortController();
  const client: Client = { gone: gone.signal, tell: (name, payload) => tell([socket], name, payload) };
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    clients.delete(socket);
    gone.abort();
    armIdle();
  });
  let studio: string | undefined;
  const waiting = new Map<number, AbortController>();
  readFrames(
    socket,
    (message) => {
      if (message.type === 'hello') studio = message.studio;
      if (message.type === 'cancel') waiting.get(message.id)?.abort();
      if (message.type !== 'request') return;
      const cancelled = new AbortController();
      waiting.set(message.id, cancelled);
      const told =
        studio === versions.studio
          ? answer(message, { client, signal: AbortSignal.any([client.gone, cancelled.signal]) })
          : Promise.resolve({ problem: otherStudio(versions.studio, studio).toValue() });
      void told.then((answer) => {
        waiting.delete(message.id);
        return sendAnswer(socket, message, answer);
      });
      // A client that asks faster than it reads is served again once it has read.
      return untilRead(socket);
    },
    (why) => logError(`${new Date().toISOString()} A connection was closed because it sent ${why}.`),
  );
  writeFrame(socket, encodeFrame({ type: 'hello', pid: process.pid, studio: versions.studio })!);
}

type Request = Extract<HostMessage, { type: 'request' }>;

/** Sends an answer, a long one in parts as fast as the client reads them. */
async function sendAnswer(socket: Socket, request: Request, answer: Answer<unknown>): Promise<void> {
  let isFirst = true;
  for (const frame of answerFrames(request, answer)) {
    if (!isFirst) await untilRead(socket);
    if (socket.destroyed) return;
    isFirst = false;
    writeFrame(socket, frame);
  }
}

async function answer(request: Request, asker: Asker): Promise<Answer<unknown>> {
  try {
    return { ok: (await (await current()).request(request.name, request.params, asker)) ?? null };
  } catch (error) {
    const problem = toProblemValue(error);
    if (problem.code === 'internal') logError(error);
    return { problem };
  }
}

/** Ends the host a short time after the last client has gone and the last job has ended. */
function armIdle(): void {
  clearTimeout(idleTimer);
  if (clients.size > 0) return;
  if (handle.busy()) {
    idleTimer = setTimeout(armIdle, 1000);
    return;
  }
  idleTimer = setTimeout(() => {
    if (clients.size > 0 || handle.busy()) return armIdle();
    handle.close();
    // Where the folder was moved away, another host may have its socket in this place. A server that is closed would remove that too, so
    // it is left to end with the process.
    if (holdsLock(places.lock)) {
      if (process.platform !== 'win32') rmSync(places.socket, { force: true });
      removeSocketFolder();
      releaseLock(places.lock);
    }
    process.exit(0);
  }, idleSeconds * 1000);
}

/**
 * Removes the folder of the socket, which is outside the data folder when the path of that is too long for a socket (see
 * rpc.ts).
 */
function removeSocketFolder(): void {
  const folder = dirname(places.socket);
  if (process.platform === 'win32' || folder === dirname(places.lock)) return;
  try {
    rmdirSync(folder);
  } catch {
    // An empty folder is no reason to stay.
  }
}
