import * as fs from 'node:fs';
import type { Precision } from './trace.js';

/**
 * Has TensorFlow compute with oneDNN on every x86 processor, not only on those with AVX-512, on which
 * it does by itself. To call before it is loaded; TF_ENABLE_ONEDNN_OPTS=0 keeps it from that.
 */
export function chooseOneDnn(): void {
  const { arch, platform, env } = process;
  if (arch === 'x64' && platform !== 'darwin') env.TF_ENABLE_ONEDNN_OPTS ??= '1';
}

/** True where TensorFlow computes with oneDNN in a precision. */
export function computesWithOneDnn(precision: Precision): boolean {
  if (process.env.TF_ENABLE_ONEDNN_OPTS !== '1') return false;
  return precision === 'float32' || hasAvx512();
}

let avx512: boolean | undefined;

/** True where the processor is known to have AVX-512, without which oneDNN has no bfloat16. */
function hasAvx512(): boolean {
  avx512 ??= fs.existsSync(processors) && fs.readFileSync(processors, 'utf8').includes('avx512f');
  return avx512;
}

const processors = '/proc/cpuinfo';
