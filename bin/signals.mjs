// What a command says and returns when a signal ends it before it has begun.
export const exitStatus = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/** Ends this process, which has done nothing yet. */
export function stoppedBy(signal) {
  process.stderr.write('Stopped.\n');
  process.exit(exitStatus[signal]);
}
