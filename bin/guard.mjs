// Loaded into the command line before anything else: one Ctrl-C counts once, however many ways it arrives, and the command ends when
// the process that started it is gone.
const lastSeen = new Map();
const exitStatus = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

for (const [signal, status] of Object.entries(exitStatus)) {
  process.on(signal, () => {
    lastSeen.set(signal, performance.now());
    if (process.listenerCount(signal) === 1) process.exit(status);
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
