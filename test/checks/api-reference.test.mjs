import path from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../../data-scripts/lib/places.mjs';
import { run } from '../../data-scripts/lib/run.mjs';

const isNight = Boolean(process.env.TARFLOW_NIGHTLY);

test.runIf(isNight)('the API reference is written without a broken link', async () => {
  const typedoc = path.join('node_modules', 'typedoc', 'bin', 'typedoc');
  // Types are checked elsewhere.
  const options = ['--emit', 'none', '--skipErrorChecking'];
  const { status, output } = await run(process.execPath, [typedoc, ...options], {
    cwd: projectRoot,
  });
  expect(status, output).toBe(0);
});
