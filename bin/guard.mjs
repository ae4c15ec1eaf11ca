// Loaded into the command line before anything else: one Ctrl-C counts once, however many ways it arrives, and the command ends when
// the process that started it is gone.
import { exitStatus, stoppedBy } from './signals.mjs';

const lastSeen = new Map();

for (const signal of Object.keys(exitStatus)) {
  process.on(signal, () => {
    lastSeen.set(signal, performance.now());
    if (process.listenerCount(signal) > 1) return;
    // A command that has set its status has finished, and only its output is still being written.
    if (process.exitCode === undefined) stoppedBy(signal);
    else process.exit();
  });
}
process.on('message', (message) => {
  const signal = message?.signal;
  if (!(signal in exitStatus)) return;
  if (performance.now() - (lastSeen.get(signal) ?? -Infinity) > 1000) process.kill(process.pid, signal);
});
process.on('disconnect', () => process.exit(exitStatus.SIGHUP));
// Waiting for a signal is no reason to stay alive.
process.channel?.unref();
