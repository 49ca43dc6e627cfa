import { configDefaults, defineConfig } from 'vitest/config';

// Every notebook and its executor: they run after the rest. Two notebooks at a time, since in quick
// mode one alone keeps little more than a core busy.
const notebooks = 'test/notebooks/**';
const minute = 60_000;

export default defineConfig({
  test: {
    // A native addon cannot be unloaded, so tests run in processes of their own, not in threads.
    pool: 'forks',
    maxConcurrency: 2,
    globalSetup: 'test/stale-build.mjs',
    // Built packages are loaded by Node, as their users load them.
    server: { deps: { external: [/packages\/[^/]+\/dist\//] } },
    projects: [
      {
        extends: true,
        test: {
          name: 'library',
          include: ['test/**/*.test.{ts,mjs}', 'packages/*/test/**/*.test.{ts,mjs}'],
          exclude: [...configDefaults.exclude, notebooks],
          maxWorkers: 2,
          testTimeout: minute,
          hookTimeout: minute,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'notebooks',
          include: [`${notebooks}/*.test.{ts,mjs}`],
          maxWorkers: 1,
          testTimeout: 60 * minute,
          hookTimeout: minute,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
