import { spawnSync } from 'node:child_process';
import * as path from 'node:path';

/** Why the webgpu engine cannot be tested here: its packages or a device are missing. */
export function webGpuIsAbsent(): string | undefined {
  try {
    require.resolve('@tensorflow/tfjs-backend-webgpu');
  } catch {
    return 'its optional packages are not installed';
  }
  // In a process of its own, because a device stays with the process that found it.
  const probe = path.resolve(__dirname, '../../data-scripts/lib/probe-webgpu.mjs');
  const { stdout } = spawnSync(process.execPath, [probe], { encoding: 'utf8' });
  const line = stdout.split('\n').find((text) => text.startsWith('{'));
  if (line === undefined) return 'the package webgpu is not installed';
  return JSON.parse(line).device === undefined ? 'there is no graphics device' : undefined;
}

/** The title of tests that need the device, which says why they are left out. */
export function webGpuTitle(title: string, absent: string | undefined): string {
  return absent === undefined ? title : `${title} (left out: ${absent})`;
}
