const block = 512;

/**
 * The regular files of an uncompressed tar archive, in order. Reads the ustar format, which has
 * room for names of 255 bytes; extended headers for longer ones are passed over.
 *
 * @param {Uint8Array} archive
 * @returns {Generator<{ name: string, content: Uint8Array }>} content is a view into the archive
 */
export function* readTar(archive) {
  /** @param {number} begin @param {number} length */
  const text = (begin, length) => {
    const field = Buffer.from(archive.subarray(begin, begin + length));
    const end = field.indexOf(0);
    return field.toString('utf8', 0, end < 0 ? length : end);
  };
  // The archive ends with blocks of zeros.
  for (let at = 0; at + block <= archive.length && archive[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const kind = text(at + 156, 1);
    const prefix = text(at + 257, 5) === 'ustar' ? text(at + 345, 155) : '';
    const begin = at + block;
    if (kind === '0' || kind === '') {
      const name = text(at, 100);
      yield {
        name: prefix === '' ? name : `${prefix}/${name}`,
        content: archive.subarray(begin, begin + size),
      };
    }
    at = begin + block * Math.ceil(size / block);
  }
}
