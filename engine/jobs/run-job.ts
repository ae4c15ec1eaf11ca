/**
 * Runs one job in a process of its own: receives one `start` command over the process's IPC channel, runs that kind of job, and
 * ends with exactly one `done` or `problem`. The process ends when the host goes away, so a job never outlives its host.
 */
import type { JobCommand, JobMessage, JobRequest, JobSpec, Progress } from '../contract.ts';
import { logError, Problem, toProblemValue } from '../problem.ts';
import type { JobAsker, JobPort } from './port.ts';
import { heartbeatArgument, startHeartbeat } from './heartbeat.ts';

/** Runs a job. Each kind is loaded only in the process that runs it, so a damaged native library breaks nothing else. */
async function runKind(spec: JobSpec, port: JobPort): Promise<unknown> {
  switch (spec.kind) {
    case 'train':
      return (await import('./train.ts')).runTrain(spec, port);
    case 'evaluate':
      return (await import('./evaluate.ts')).runEvaluate(spec, port);
    case 'compare':
      return (await import('./compare.ts')).runCompare(spec, port);
    case 'chat':
      return (await import('./chat.ts')).runChat(spec, port);
    case 'data':
      return (await import('./data.ts')).runData(spec, port);
    case 'losses':
      return (await import('./losses.ts')).runLosses(spec, port);
    case 'export':
      return (await import('./export.ts')).runExport(spec, port);
    case 'identify':
      return (await import('./identify.ts')).runIdentify(spec);
    case 'describe':
      return (await import('./describe.ts')).runDescribe(spec);
    case 'updates':
      return (await import('./updates.ts')).runUpdates(spec);
    case 'matrix':
      return (await import('./matrix.ts')).runMatrix(spec);
    case 'mix':
      return (await import('./mix.ts')).runMix(spec, port);
    case 'trial':
      return (await import('./trial.ts')).runTrial(spec);
    case 'inspect':
      return (await import('./inspect.ts')).runInspect(spec, port);
    case 'columns':
      return (await import('./columns.ts')).runColumns(spec);
    case 'scan':
      return (await import('./scan.ts')).runScan(spec, port);
    case 'look':
      return (await import('./look.ts')).runLook(spec, port);
    case 'write-rows':
      return (await import('./write-rows.ts')).runWriteRows(spec, port);
  }
}

class ProcessPort implements JobPort {
  stopRequested = false;
  readonly #stopped = Promise.withResolvers<void>();
  #handler: ((request: JobRequest, asker: JobAsker) => Promise<unknown>) | null = null;
  #waiting: { id: number; request: JobRequest }[] = [];
  /** Holds the controllers that cancel the requests in progress, by id. */
  readonly #cancels = new Map<number, AbortController>();

  send(message: JobMessage): void {
    // A message to a host that has just gone is no failure of the job: 'disconnect' ends the process.
    process.send?.(message, undefined, undefined, () => {});
  }

  onRequest(handler: (request: JobRequest, asker: JobAsker) => Promise<unknown>): void {
    this.#handler = handler;
    for (const { id, request } of this.#waiting.splice(0)) this.receive(id, request);
  }

  untilStopped(): Promise<void> {
    return this.#stopped.promise;
  }

  stop(): void {
    this.stopRequested = true;
    this.#stopped.resolve();
  }

  receive(id: number, request: JobRequest): void {
    if (this.#handler === null) {
      this.#waiting.push({ id, request });
      return;
    }
    const cancel = new AbortController();
    this.#cancels.set(id, cancel);
    const report = (progress: Progress) => this.send({ type: 'progress', progress, request: id });
    this.#handler(request, { signal: cancel.signal, report })
      .then(
        (value) => this.send({ type: 'answer', id, answer: { ok: value ?? null } }),
        (error: unknown) => {
          const problem = reportProblem(error);
          this.send({ type: 'answer', id, answer: { problem } });
          // Only the end of the process stops native threads and frees their memory. Other clients that wait asked for
          // something else.
          if (problem.code === 'out-of-memory' || problem.code === 'tokenizer-unsupported')
            finish({ type: 'problem', problem: endedByAnother.toValue() });
        },
      )
      .finally(() => this.#cancels.delete(id));
  }

  cancel(id: number): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting.id !== id);
    this.#cancels.get(id)?.abort();
  }
}

const endedByAnother = new Problem(
  'job-crashed',
  'The process that was working on this ended because of another request.',
  'Try again.',
);

/** Converts an error to a Problem, which is what people see. A bug also leaves its stack in the log of the host. */
function reportProblem(error: unknown) {
  const problem = toProblemValue(error);
  if (problem.code === 'internal') logError(error instanceof Problem && error.cause !== undefined ? error.cause : error);
  return problem;
}

/**
 * Ends this process whatever its native threads do. An orderly exit would wait for them, and a tokenizer may compute for ever.
 */
function leave(): void {
  process.kill(process.pid, 'SIGKILL');
}

function finish(message: JobMessage): void {
  if (process.send === undefined) leave();
  else process.send(message, undefined, undefined, leave);
}

const port = new ProcessPort();
let started = false;
if (process.argv.includes(heartbeatArgument)) startHeartbeat();
process.on('disconnect', leave);
// A terminal sends Ctrl-C to the whole group; the host decides when a job stops.
process.on('SIGINT', () => {});
process.on('uncaughtException', (error) => finish({ type: 'problem', problem: reportProblem(error) }));
process.on('unhandledRejection', (error) => finish({ type: 'problem', problem: reportProblem(error) }));
process.on('message', (command: JobCommand) => {
  switch (command.type) {
    case 'stop':
      port.stop();
      return;
    case 'request':
      port.receive(command.id, command.request);
      return;
    case 'cancel':
      port.cancel(command.id);
      return;
    case 'start':
      if (started) return;
      started = true;
      runKind(command.spec, port).then(
        (result) => finish({ type: 'done', result: result ?? null }),
        (error: unknown) => finish({ type: 'problem', problem: reportProblem(error) }),
      );
  }
});
