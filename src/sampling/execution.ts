import { currentEngine } from '../backend/engine.js';
import type { Mode, Precision } from '../backend/program/index.js';

/** How computations run. */
export interface Execution {
  mode: Mode;
  precision: Precision;
}

/** What is asked for, or what the engine does best without long preparation. */
export function executionOf({ mode, precision }: Partial<Execution>): Execution {
  const native = currentEngine().engine === 'tensorflow';
  return { mode: mode ?? (native ? 'graph' : 'eager'), precision: precision ?? 'float32' };
}
