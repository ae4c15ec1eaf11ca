import { defineConfig } from 'playwright/test';

export default defineConfig({
  testDir: 'e2e',
  outputDir: '.cache/test-results',
  // For what hangs, not for what is slow.
  timeout: 900_000,
  expect: { timeout: 60_000 },
  // Journeys wait more than they compute. Elsewhere a window behind another one is not drawn, and would wait for ever.
  workers: process.platform === 'linux' ? 2 : 1,
  forbidOnly: true,
});
