import { expect, test } from 'vitest';
import { fuzz, fuzzedHost } from '../testing/fuzzed-requests.ts';

const seed = Number(process.env['LOWRANK_FUZZ_SEED'] ?? 1);

test(
  'whatever a request carries, a host with models, rows and runs answers in words and lives',
  { timeout: 1_800_000 },
  async () => {
    const host = await fuzzedHost(true);
    try {
      for (let round = 0; round < 5; round++)
        expect(await fuzz(host, { seed: seed + round, count: 12, skip: ['sample.start', 'machine.measure'] })).toBeGreaterThan(
          20,
        );
    } finally {
      host.close();
    }
  },
);
