import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { soak } from '../testing/soak.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-soak-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));

test.skipIf(process.platform !== 'linux')('what jobs, requests and clients open in the host is closed again', async () => {
  const held = await soak(join(folder, 'data'), (rounds) => rounds < 3);
  // A visitor's job may still be ending: its channel and its end are a few handles.
  const jobOfVisitor = 4;
  expect(held.at(-1)!.handles).toBeLessThanOrEqual(held[0]!.handles + jobOfVisitor);
  expect(held.at(-1)!.files).toBe(held[0]!.files);
});
