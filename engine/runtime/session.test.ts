import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';

test('the runtime is not loaded in a thread, which could not tell it to report to nobody', async () => {
  const worker = new Worker(new URL('./session.ts', import.meta.url));
  const [error] = (await once(worker, 'error')) as [Error];
  expect(error.message).toContain('main thread');
});
