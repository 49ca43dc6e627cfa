/**
 * Lets TensorFlow compute with oneDNN on every x86 processor; by itself it does so only on those with
 * AVX-512. Call it before TensorFlow is loaded. TF_ENABLE_ONEDNN_OPTS=0 turns oneDNN off.
 */
export function chooseOneDnn(): void {
  const { arch, platform, env } = process;
  if (arch === 'x64' && platform !== 'darwin') env.TF_ENABLE_ONEDNN_OPTS ??= '1';
}

/** True where TensorFlow computes with oneDNN. */
export function computesWithOneDnn(): boolean {
  return process.env.TF_ENABLE_ONEDNN_OPTS === '1';
}
