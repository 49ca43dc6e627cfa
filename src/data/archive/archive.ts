import { openForReading } from '../../core/files.js';
import { bytesAt } from '../../formats/bytes-at.js';
import type { ArchiveDescription } from '../description.js';
import { encodedSource } from '../folder/encoded-source.js';
import { textAt } from '../folder/texts.js';
import type { DataSource } from '../source.js';

/** A source of the images in a tar archive, which is not unpacked. */
export function archiveSource(description: ArchiveDescription): DataSource {
  const { file, names, positions, lengths } = description;
  return encodedSource(description, {
    name: (index) => `${textAt(names, index)} in ${file}`,
    async bytes(index) {
      const handle = await openForReading(file);
      try {
        const [position, length] = [positions[index], lengths[index]] as [number, number];
        return await bytesAt(handle, file, position, length);
      } finally {
        await handle.close();
      }
    },
  });
}
