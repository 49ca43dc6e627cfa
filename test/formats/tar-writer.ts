/** A file for {@link tarOf}, or a header of another type with its content. */
export interface TarFile {
  name: string;
  content: Uint8Array | string;
  /** Default '0', a file. */
  type?: string;
  /** GNU's form of the header, in place of POSIX's. */
  gnu?: boolean;
  prefix?: string;
  /** The size in binary, as GNU tar writes those above 8 GiB. */
  binarySize?: boolean;
}

/** A tar archive, made by hand for tests. */
export function tarOf(files: readonly TarFile[], { end = true } = {}): Buffer {
  const parts = files.flatMap((file) => {
    const content = Buffer.from(file.content);
    return [header(file, content.length), content, Buffer.alloc(-content.length & 511)];
  });
  return Buffer.concat([...parts, Buffer.alloc(end ? 1024 : 0)]);
}

/** An archive whose headers have the sums that fit them. */
export function withTarSums(archive: Uint8Array): Buffer {
  const summed = Buffer.from(archive);
  for (let at = 0; at + 512 <= summed.length; at += 512) {
    const block = summed.subarray(at, at + 512);
    if (block.toString('latin1', 257, 262) === 'ustar') writeSum(block);
  }
  return summed;
}

function writeSum(block: Buffer): void {
  block.write('        ', 148);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
}

function header(file: TarFile, size: number): Buffer {
  const { name, type = '0', gnu = false, prefix = '', binarySize = false } = file;
  const block = Buffer.alloc(512);
  block.write(name.slice(0, 100), 0);
  block.write('0000644\0', 100);
  if (binarySize) {
    block[124] = 0x80;
    block.writeUInt32BE(size, 132);
  } else {
    block.write(`${size.toString(8).padStart(11, '0')} `, 124);
  }
  block.write(type, 156);
  block.write(gnu ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1');
  block.write(prefix, 345);
  writeSum(block);
  return block;
}
