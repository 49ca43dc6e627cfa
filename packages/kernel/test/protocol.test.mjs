import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot, venvProgram } from '../../../data-scripts/lib/places.mjs';
import { run } from '../../../data-scripts/lib/run.mjs';

test('the kernel passes jupyter_kernel_test, all of it but the pager', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tarflow-kernel-'));
  try {
    const script = path.join(import.meta.dirname, 'protocol.py');
    const { status, output } = await run(venvProgram(projectRoot, 'python'), [script, '-v'], {
      cwd: projectRoot,
      env: { ...process.env, TARFLOW_KERNEL_DATA: folder },
    });
    expect(status, output).toBe(0);
    expect(output).toMatch(/Ran 13 tests/);
    expect(output.match(/\.\.\. skipped/g)).toHaveLength(1);
    expect(output).toMatch(/test_pager .*\.\.\. skipped/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
