import { defineConfig } from 'vitest/config';

// Long tests (`*.long.test.ts`) run with `npm run test:full` only.
const full = process.env['LOWRANK_TEST_FULL'] === '1';

export default defineConfig({
  test: {
    include: ['engine/**/*.test.ts', 'electron/**/*.test.ts', 'renderer/**/*.test.ts', 'scripts/**/*.test.mjs'],
    exclude: full ? [] : ['**/*.long.test.ts'],
    environment: 'node',
    pool: 'forks',
    // The long ones wait more than they compute.
    ...(full ? { maxWorkers: 2 } : {}),
    testTimeout: full ? 300_000 : 60_000,
    hookTimeout: full ? 300_000 : 60_000,
    passWithNoTests: true,
  },
});
