import type { FileHandle } from 'node:fs/promises';
import { openForReading } from '../../core/files.js';
import { bytesAt } from '../../formats/bytes-at.js';
import type { RowsDescription } from '../description.js';
import { checkIndices, type DataSource, sizeOf } from '../source.js';

/**
 * A source of samples that lie in files as plain bytes, a row each, and are read by their place: files
 * may be larger than memory.
 */
export function rowsSource(description: RowsDescription): DataSource {
  const { name, split, image, classes, labels, licence, parts, rows } = description;
  const size = sizeOf(image);
  return {
    ...{ name, split, image, classes, labels, licence, description },
    length: labels.length,
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
            const { file, position } = rowPlace(parts, rows[index] as number, size);
            values.set(await bytesAt(await handleOf(file), file, position, size), place * size);
          }),
        );
      } finally {
        for (const handle of await Promise.allSettled(opened.values())) {
          if (handle.status === 'fulfilled') await handle.value.close();
        }
      }
      return {
        count: indices.length,
        image,
        values,
        labels: Int32Array.from(indices, (index) => labels[index] as number),
      };
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
