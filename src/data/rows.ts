import type { FileHandle } from 'node:fs/promises';
import { openForReading } from '../core/files.js';
import { bytesAt } from '../formats/elements.js';
import {
  batchOf,
  checkIndices,
  type DataSource,
  factsOf,
  type RowsDescription,
  sizeOf,
} from './source.js';

/**
 * A source of samples that lie in files as plain bytes, a row each, and are read by their place: files
 * may be larger than memory.
 */
export function rowsSource(description: RowsDescription): DataSource {
  const { image, parts, rows } = description;
  const size = sizeOf(image);
  return {
    ...factsOf(description),
    async read(indices) {
      checkIndices(this, indices);
      const values = new Uint8Array(indices.length * size);
      const opened = new Map<string, Promise<FileHandle>>();
      const handleOf = (file: string): Promise<FileHandle> => {
        const handle = opened.get(file) ?? openForReading(file);
        opened.set(file, handle);
        return handle;
      };
      try {
        await Promise.all(
          Array.from(indices, async (index, place) => {
            const { file, position } = rowPlace(parts, rows[index]!, size);
            values.set(await bytesAt(await handleOf(file), file, position, size), place * size);
          }),
        );
      } finally {
        for (const handle of await Promise.allSettled(opened.values())) {
          if (handle.status === 'fulfilled') await handle.value.close();
        }
      }
      return batchOf(description, indices, values);
    },
  };
}

/** Where a row lies. */
function rowPlace(
  parts: RowsDescription['parts'],
  row: number,
  size: number,
): { file: string; position: number } {
  let left = row;
  for (const { file, position, rows } of parts) {
    if (left < rows) return { file, position: position + left * size };
    left -= rows;
  }
  throw new RangeError(`Row ${row} is behind the last one, ${row - left - 1}.`);
}
