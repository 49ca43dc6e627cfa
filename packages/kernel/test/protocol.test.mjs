import { expect, test } from 'vitest';
import { kernelName, prepare, runPython } from './drive.mjs';

test('the kernel passes jupyter_kernel_test, all of it but the pager', async () => {
  const { folder, env, remove } = prepare('protocol');
  try {
    const { status, output, log } = await runPython('protocol.py', ['-v'], {
      folder,
      env: { ...env, KERNEL: kernelName },
    });
    const all = output + log;
    expect(status, all).toBe(0);
    expect(all).toMatch(/Ran 13 tests/);
    expect(all.match(/\.\.\. skipped/g)).toHaveLength(1);
    expect(all).toMatch(/test_pager .*\.\.\. skipped/);
  } finally {
    remove();
  }
});
