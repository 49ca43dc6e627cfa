import { bytesUpTo, withFile } from './elements.js';
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
  const begins = await withFile(path, (handle) => bytesUpTo(handle, path, 0, 16));
  return isTorchFile(begins) ? openTorchFile(path) : openSafetensors(path);
}

/**
 * What comes of an open file of tensors, which is closed then.
 * @throws as {@link openTensorFile} and `use` do
 */
export async function withTensorFile<T>(
  path: string,
  use: (file: TensorFile) => Promise<T>,
): Promise<T> {
  const file = await openTensorFile(path);
  return use(file).finally(() => file.close());
}

/** The SHA-256 of a file of tensors, which tells what was made with it. */
export function fileDigest(path: string): Promise<string> {
  return withTensorFile(path, (file) => file.sha256());
}
