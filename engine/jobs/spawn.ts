/**
 * Starts job processes. Each is a Node process of its own, with a channel for messages and one for its heartbeat, and the end of
 * its error output is kept.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { JobMessage, JobSpec } from '../contract.ts';
import { jobEnvironment } from '../runtime/cuda.ts';
import { heartbeatArgument, heartbeatDescriptor } from './heartbeat.ts';
import type { JobProcess } from './supervisor.ts';

const entryOfJobs = fileURLToPath(new URL('./run-job.ts', import.meta.url));
/** Gives the number of characters kept of the error output, which is enough for what a process says when it gives up. */
const keptCharacters = 8192;
/** Gives the wait in milliseconds for what the process may have said last. */
const millisecondsToDrain = 1000;

/**
 * Starts a process for a job of a data folder. `entry` is the program that it runs; `options` are for its Node, which does not
 * inherit those of this process.
 */
export function spawnJob(spec: JobSpec, dataDir: string, entry = entryOfJobs, options: readonly string[] = []): JobProcess {
  const child = fork(entry, [heartbeatArgument], {
    execArgv: [...options],
    serialization: 'json',
    env: { ...process.env, ...jobEnvironment(spec, dataDir) },
    stdio: ['ignore', 'inherit', 'pipe', 'ipc', 'pipe'],
  });
  let lastWords = '';
  // Without a free handle a child has no streams, because it was never started.
  const { stderr } = child;
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    process.stderr.write(text);
    lastWords = (lastWords + text).slice(-keptCharacters);
  });
  const heartbeat = (child.stdio as ChildProcess['stdio'] | undefined)?.[heartbeatDescriptor] as Readable | undefined;
  // A process that is killed may leave a heartbeat half written.
  heartbeat?.on('error', () => {});
  return {
    pid: child.pid,
    send: (command) => {
      if (child.connected) child.send(command, () => {});
    },
    onMessage: (listener) => {
      child.on('message', (message) => listener(message as JobMessage));
      if (heartbeat === undefined) return;
      createInterface({ input: heartbeat }).on('line', (line) => {
        if (line.endsWith('}')) listener(JSON.parse(line) as JobMessage);
      });
    },
    onExit: (listener) => {
      let told = false;
      const tell = (code: number | null, signal: string | null) => {
        if (!told) listener(code, signal, lastWords);
        told = true;
      };
      // Messages may arrive after 'exit', and end with the channel. So does the error output, unless another process has the
      // stream as well.
      child.on('exit', (code, signal) => {
        const afterMessages = () => {
          if (stderr === null || stderr.closed) tell(code, signal);
          else stderr.once('close', () => tell(code, signal));
          setTimeout(tell, millisecondsToDrain, code, signal).unref();
        };
        if (child.connected) child.once('disconnect', afterMessages);
        else afterMessages();
      });
      child.on('error', (error) => {
        lastWords += error.message;
        tell(1, null);
      });
    },
    kill: () => void child.kill('SIGKILL'),
  };
}
