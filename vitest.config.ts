import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Long tests (`*.long.test.ts`) run with `npm run test:full` only.
const full = process.env['LOWRANK_TEST_FULL'] === '1';
const isLong = ({ moduleId }: TestSpecification): boolean => /\.long\.test\.ts$/.test(moduleId);

/** Begins with the long tests, so that none of them is waited for alone at the end. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((a, b) => Number(isLong(b)) - Number(isLong(a)));
  }
}

export default defineConfig({
  test: {
    include: ['engine/**/*.test.ts', 'electron/**/*.test.ts', 'renderer/**/*.test.ts', 'scripts/**/*.test.mjs'],
    exclude: full ? [] : ['**/*.long.test.ts'],
    environment: 'node',
    pool: 'forks',
    // One processor is left to the processes that tests start; of two both are used, because tests wait for those most of the time.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    sequence: { sequencer: LongFirst },
    // For what hangs, not for what is slow: beside other work a test may get a twentieth of a processor.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 240_000 } },
    passWithNoTests: true,
  },
});
