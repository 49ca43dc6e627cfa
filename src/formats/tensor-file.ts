import { openForReading } from '../core/files.js';
import { bytesUpTo } from './elements.js';
import { isTorchFile, openTorchFile } from './pth.js';
import { openSafetensors, type SafetensorsFile } from './safetensors.js';

/** An open file of named tensors, of whatever format. */
export type TensorFile = SafetensorsFile;

/**
 * Opens a file of tensors by what it begins with: safetensors, or a state dict of PyTorch's.
 *
 * @returns the open file, which the caller closes
 * @throws as `openSafetensors` and `openTorchFile` do
 */
export async function openTensorFile(path: string): Promise<TensorFile> {
  const handle = await openForReading(path);
  const begins = await bytesUpTo(handle, path, 0, 16).finally(() => handle.close());
  return isTorchFile(begins) ? openTorchFile(path) : openSafetensors(path);
}

/** The SHA-256 of a file of tensors, which tells what was made with it. */
export async function fileDigest(path: string): Promise<string> {
  const file = await openTensorFile(path);
  return file.sha256().finally(() => file.close());
}
