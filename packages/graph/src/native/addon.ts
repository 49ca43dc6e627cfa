import { existsSync } from 'node:fs';
import * as path from 'node:path';

/** The functions of addon.cc. */
interface Addon {
  releaseFreeMemory(): void;
  collectStderr(f: () => void): string;
}

let loaded: Addon | undefined;

/**
 * Returns the free memory in the heap of this process to the system, for example after a compiler
 * has run; the C library would keep it. It takes milliseconds. It does nothing where set-up built no
 * addon.
 */
export function releaseFreeMemory(): void {
  addon().releaseFreeMemory();
}

/**
 * Calls `f` and holds back what is written to stderr meanwhile, also by native code. Afterwards it
 * writes those lines, without the ones that `unwanted` matches. Where set-up built no addon, all
 * lines are written.
 */
export function withoutStderrLines(unwanted: RegExp, f: () => void): void {
  const lines = addon().collectStderr(f).split('\n');
  process.stderr.write(lines.filter((line) => !unwanted.test(line)).join('\n'));
}

function addon(): Addon {
  loaded ??= load();
  return loaded;
}

/** Whether TensorFlow's native half is set up here; it is not loaded. */
export function isSetUp(): boolean {
  try {
    return existsSync(placeOf('tfjs_binding.node'));
  } catch {
    return false;
  }
}

/** Where set-up puts native modules (data-scripts/steps/tensorflow.mjs). */
function placeOf(module: string): string {
  const engine = path.dirname(require.resolve('@tensorflow/tfjs-node-gpu/package.json'));
  return path.join(engine, 'lib', 'napi-v8', module);
}

function load(): Addon {
  try {
    return require(placeOf('tarflow.node')) as Addon;
  } catch {
    return {
      releaseFreeMemory() {},
      collectStderr(f) {
        f();
        return '';
      },
    };
  }
}
