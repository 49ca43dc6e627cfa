/**
 * Has TensorFlow compute with oneDNN on every x86 processor, not only on those with AVX-512, on which
 * it does by itself. To call before it is loaded; TF_ENABLE_ONEDNN_OPTS=0 keeps it from that.
 */
export function chooseOneDnn(): void {
  const { arch, platform, env } = process;
  if (arch === 'x64' && platform !== 'darwin') env.TF_ENABLE_ONEDNN_OPTS ??= '1';
}

/** True where TensorFlow computes with oneDNN. */
export function computesWithOneDnn(): boolean {
  return process.env.TF_ENABLE_ONEDNN_OPTS === '1';
}
