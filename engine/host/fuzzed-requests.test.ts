import { expect, test } from 'vitest';
import { fuzz, fuzzedHost } from '../testing/fuzzed-requests.ts';

test('whatever a request carries, the host answers in words and lives', async () => {
  const host = await fuzzedHost(false);
  try {
    // These begin work that takes its time when nothing is wrong with them.
    const skip = ['machine.measure', 'projects.create', 'sample.start', 'exports.programs'] as const;
    expect(await fuzz(host, { seed: 1, count: 12, skip })).toBeGreaterThan(50);
  } finally {
    host.close();
  }
});
