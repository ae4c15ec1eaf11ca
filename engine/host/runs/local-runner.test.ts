/** A host ends what an earlier host left running, and nothing else. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { Supervisor } from '../../jobs/supervisor.ts';
import { processIdentity } from '../../lock.ts';
import { LocalRunner } from './local-runner.ts';

const runner = new LocalRunner(
  new Supervisor(() => {
    throw new Error('nothing is started');
  }),
  tmpdir(),
);

test.skipIf(process.platform === 'win32')(
  'a run that another living host computes is left alone, one without a host is ended',
  async () => {
    const job = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    const gone = once(job, 'exit');
    const identity = processIdentity(job.pid!)!;
    const ended = spawnSync(process.execPath, ['-e', '']).pid;
    runner.end({ ...identity, host: processIdentity(process.ppid)! });
    await new Promise((done) => setTimeout(done, 200));
    expect(job.signalCode).toBeNull();
    runner.end({ ...identity, host: { ...identity, pid: ended } });
    expect(await gone).toEqual([null, 'SIGKILL']);
  },
);
