import { readdirSync, readFileSync } from 'node:fs';
import { configDefaults, defineConfig } from 'vitest/config';

const minute = 60_000;
const tests = (folder: string) => `${folder}/**/*.test.{ts,mjs}`;
const notebooks = tests('test/notebooks');

/** Marks of a test that has a process to itself: it replaces modules, or measures memory. */
const marks = /vi\.mock\(|memoryUsage|VmHWM|fuzzing\.js|engine: 'webgpu'/;
const alone = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.test\.(ts|mjs)$/.test(file))
  .map((file) => `test/${file.replaceAll('\\', '/')}`)
  .filter((file) => marks.test(readFileSync(file, 'utf8')));

const shared = {
  // Tests follow each other in two processes, which keep the engine and the modules.
  isolate: false,
  maxWorkers: 2,
  // What hangs ends; a busy machine fails no test.
  testTimeout: 10 * minute,
  hookTimeout: 10 * minute,
};

export default defineConfig({
  test: {
    // A native addon cannot be unloaded, so tests run in processes, not in threads.
    pool: 'forks',
    maxConcurrency: 2,
    globalSetup: 'test/stale-build.mjs',
    // Built packages are loaded by Node, as their users load them.
    server: { deps: { external: [/packages\/[^/]+\/dist\//] } },
    projects: [
      {
        extends: true,
        test: {
          ...shared,
          name: 'packages',
          include: [tests('packages/*/test')],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          ...shared,
          name: 'library',
          include: [tests('test')],
          exclude: [...configDefaults.exclude, notebooks, ...alone],
          setupFiles: 'test/engine.ts',
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          ...shared,
          name: 'alone',
          include: alone,
          exclude: [...configDefaults.exclude, notebooks],
          setupFiles: 'test/engine.ts',
          isolate: true,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'notebooks',
          include: [notebooks],
          maxWorkers: 2,
          testTimeout: 60 * minute,
          hookTimeout: minute,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
