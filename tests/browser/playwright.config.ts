import { defineConfig } from '@playwright/test';

/**
 * One browser at a time: software WebGPU uses every core there is. Times are generous because continuous
 * integration has two slow cores; nothing here asserts speed.
 */
export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  workers: 1,
  // A second try is reported as flaky, not hidden.
  retries: 1,
  fullyParallel: false,
  forbidOnly: true,
  timeout: 300_000,
  expect: { timeout: 120_000 },
  reporter: [['list']],
  outputDir: 'test-results',
});
