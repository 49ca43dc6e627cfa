import { vi } from 'vitest';

/** Results are written to a folder, and read from there first, until the environment is as it was. */
export function chooseResults(folder: string): void {
  for (const [name, value] of Object.entries({ QUICK: '', RESULTS: folder })) {
    vi.stubEnv(`TARFLOW_${name}`, value);
  }
}
