import { bytesAt, withFile } from '../formats/elements.js';
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
      const places = Array.from(indices, (index, place) => ({ row: rows[index]!, place }));
      let before = 0;
      const reads = parts.map(({ file, position, rows: count }) => {
        const begin = before;
        before += count;
        const here = places.filter(({ row }) => row >= begin && row < begin + count);
        if (here.length === 0) return undefined;
        return withFile(file, (handle) =>
          Promise.all(
            here.map(async ({ row, place }) => {
              const at = position + (row - begin) * size;
              values.set(await bytesAt(handle, file, at, size), place * size);
            }),
          ),
        );
      });
      const behind = places.find(({ row }) => row >= before);
      if (behind) throw new RangeError(`Row ${behind.row} is behind the last one, ${before - 1}.`);
      await Promise.all(reads);
      return batchOf(description, indices, values);
    },
  };
}
