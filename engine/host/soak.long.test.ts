/** The soak takes as many minutes as `LOWRANK_SOAK_MINUTES` says, 15 where it says nothing. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type Held, soak } from '../testing/soak.ts';

const minutes = Number(process.env['LOWRANK_SOAK_MINUTES'] ?? 15);
const folder = mkdtempSync(join(tmpdir(), 'lowrank-soak-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));

const median = (held: readonly Held[], what: keyof Held): number => {
  const values = held.map((one) => one[what]).sort((a, b) => a - b);
  return values[values.length >> 1]!;
};

test.skipIf(process.platform !== 'linux')(
  'a host that is used for long holds no more than after its first minutes',
  { timeout: minutes * 60_000 + 120_000 },
  async () => {
    const end = performance.now() + minutes * 60_000;
    const held = await soak(join(folder, 'data'), () => performance.now() < end);
    // It is warm after a third of the time.
    const third = Math.floor(held.length / 3);
    const [early, late] = [held.slice(third, 2 * third), held.slice(2 * third)];
    console.log(
      `${held.length} rounds`,
      ...(['memory', 'handles', 'files'] as const).map((what) => [what, median(early, what), median(late, what)]),
    );
    for (const what of ['memory', 'handles', 'files'] as const)
      expect(median(late, what), what).toBeLessThanOrEqual(median(early, what) * 1.05);
  },
);
