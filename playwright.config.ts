import { defineConfig } from 'playwright/test';

// One window at a time: journeys train for real, and two of them would only share the same cores.
export default defineConfig({
  testDir: 'e2e',
  outputDir: '.cache/test-results',
  timeout: 240_000,
  expect: { timeout: 15_000 },
  workers: 1,
  forbidOnly: true,
});
