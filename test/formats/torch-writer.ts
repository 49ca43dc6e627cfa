import * as fs from 'node:fs';
import * as path from 'node:path';
import { crc32 } from 'node:zlib';

/** A tensor for a file of PyTorch's; its numbers are asked for when it is their turn. */
export interface TorchTensor {
  shape: readonly number[];
  dtype: 'F32' | 'U8';
  /** As many numbers as the shape has, or fewer; the rest is zeros that take no room on the disk. */
  data(): Float32Array | Uint8Array;
  /** The place of the first of these numbers in the tensor, row by row. Default: 0. */
  from?: number;
}

const storages = {
  F32: { type: 'FloatStorage', bytes: 4 },
  U8: { type: 'ByteStorage', bytes: 1 },
} as const;

/**
 * Writes a state dict as `torch.save` does: a zip archive, not compressed, whose numbers begin at
 * multiples of 64 bytes. What does not fit into 32 bits is written as zip64, as there. One tensor is in
 * memory at a time, and numbers that are left out are holes in the file.
 */
export function writeTorchFile(file: string, tensors: Readonly<Record<string, TorchTensor>>): void {
  const folder = path.parse(file).name;
  const archive = new StoredZip(fs.openSync(file, 'w'));
  try {
    archive.add(`${folder}/data.pkl`, pickled(tensors));
    archive.add(`${folder}/byteorder`, Buffer.from('little'));
    Object.values(tensors).forEach((tensor, key) => {
      const width = storages[tensor.dtype].bytes;
      const { buffer, byteOffset, byteLength } = tensor.data();
      archive.add(`${folder}/data/${key}`, new Uint8Array(buffer, byteOffset, byteLength), {
        size: sizeOf(tensor) * width,
        from: (tensor.from ?? 0) * width,
      });
    });
    archive.add(`${folder}/version`, Buffer.from('3\n'));
    archive.end();
  } finally {
    archive.close();
  }
}

function sizeOf({ shape }: TorchTensor): number {
  return shape.reduce((size, side) => size * side, 1);
}

/** What 32 bits hold where the number itself stands in a zip64 field. */
const elsewhere = 0xffffffff;

/** A zip archive of entries that are not compressed. */
class StoredZip {
  private position = 0;
  private readonly directory: Buffer[] = [];

  constructor(private readonly descriptor: number) {}

  /** Adds an entry of `size` bytes, of which `bytes` are written, and the rest is a hole. */
  add(name: string, bytes: Uint8Array, { size = bytes.length, from = 0 } = {}): void {
    const begin = this.position;
    const large = size >= elsewhere;
    const far = begin >= elsewhere;
    const long = [...(large ? [size, size] : []), ...(far ? [begin] : [])];
    const zip64 = long.length === 0 ? [] : [u16(1), u16(8 * long.length), ...long.map(u64)];
    const title = Buffer.from(name);
    const headerLength = 30 + title.length + Buffer.concat(zip64).length;
    const padding = 63 - ((begin + headerLength + 3) % 64);
    const extra = Buffer.concat([...zip64, Buffer.from('FB'), u16(padding), filler(padding)]);
    // Sizes and the sum follow the bytes. Readers do not check a sum of what has holes.
    const whole = bytes.length === size;
    const crc = whole ? crc32(bytes) : 0;
    const fixed = [u16(0), u16(0x0808), u16(0), u32(0)];
    this.write([u32(0x04034b50), ...fixed, Buffer.alloc(12)]);
    this.write([u16(title.length), u16(extra.length), title, extra]);
    const content = this.position;
    this.position = content + from;
    this.write([bytes]);
    this.position = content + size;
    const sized = zip64.length > 0 ? u64 : u32;
    this.write([u32(0x08074b50), u32(crc), sized(size), sized(size)]);
    const [shownSize, shownBegin] = [large ? elsewhere : size, far ? elsewhere : begin];
    const own = Buffer.concat(zip64);
    this.directory.push(
      Buffer.concat([
        ...[u32(0x02014b50), u16(0), ...fixed, u32(crc), u32(shownSize), u32(shownSize)],
        ...[u16(title.length), u16(own.length), Buffer.alloc(10), u32(shownBegin), title, own],
      ]),
    );
  }

  /** Writes the directory. */
  end(): void {
    const begin = this.position;
    const count = this.directory.length;
    const size = this.write(this.directory);
    const far = begin >= elsewhere;
    if (far) {
      const end = this.position;
      this.write([u32(0x06064b50), u64(44), u16(45), u16(45), u64(0)]);
      this.write([u64(count), u64(count), u64(size), u64(begin)]);
      this.write([u32(0x07064b50), u32(0), u64(end), u32(1)]);
    }
    this.write([u32(0x06054b50), u32(0), u16(count), u16(count), u32(size)]);
    this.write([u32(far ? elsewhere : begin), u16(0)]);
  }

  close(): void {
    fs.closeSync(this.descriptor);
  }

  private write(parts: readonly Uint8Array[]): number {
    const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
    for (let done = 0; done < bytes.length; ) {
      done += fs.writeSync(this.descriptor, bytes, done, bytes.length - done, this.position + done);
    }
    this.position += bytes.length;
    return bytes.length;
  }
}

/** A dictionary of tensors by name, in the second protocol: each has a storage of its own. */
function pickled(tensors: Readonly<Record<string, TorchTensor>>): Buffer {
  const entries = Object.entries(tensors).map(([name, tensor], key) => {
    const { shape, dtype } = tensor;
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    return [
      ...[text(name), global('torch._utils', '_rebuild_tensor_v2')],
      // What the tensor is called with: its storage, offset, shape, strides, gradient and hooks.
      ...['((', text('storage'), global('torch', storages[dtype].type)],
      ...[text(String(key)), text('cpu'), integer(sizeOf(tensor)), 'tQ'],
      ...[integer(0), tuple(shape), tuple(strides), '\x89', ordered, 'tR'],
    ].join('');
  });
  return Buffer.from(`\x80\x02${ordered}(${entries.join('')}u.`, 'latin1');
}

const global = (module: string, name: string): string => `c${module}\n${name}\n`;
const ordered = `${global('collections', 'OrderedDict')})R`;
const text = (value: string): string =>
  `X${u32(Buffer.byteLength(value)).toString('latin1')}${Buffer.from(value).toString('latin1')}`;
/** Of 32 bits with a sign, or of nine bytes. */
const integer = (value: number): string =>
  value < 2 ** 31
    ? `J${u32(value).toString('latin1')}`
    : `\x8a\x09${u64(value).toString('latin1')}\x00`;
const tuple = (values: readonly number[]): string => `(${values.map(integer).join('')}t`;

function filler(length: number): Buffer {
  return Buffer.alloc(length, 'Z');
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
