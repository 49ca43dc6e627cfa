import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/backend/errors.js';
import {
  decodeSafetensors,
  encodeSafetensors,
  type HostDtype,
  type HostTensor,
  readSafetensors,
  writeSafetensors,
} from '../../src/formats/safetensors.js';

const goldenFolder = path.join(__dirname, '..', 'golden');

/** A file with any header, right or wrong. */
function file(header: unknown, body: Uint8Array | number = 0): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = typeof body === 'number' ? new Uint8Array(body) : body;
  const out = Buffer.alloc(8 + json.length + bytes.length);
  out.writeBigUInt64LE(BigInt(json.length));
  out.set(json, 8);
  out.set(bytes, 8 + json.length);
  return out;
}

const shapes = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 });
const values: Record<HostDtype, fc.Arbitrary<number>> = {
  F32: fc.float(),
  F64: fc.double(),
  // Halves and their multiples are exact in 16 bits.
  F16: fc.integer({ min: -2048, max: 2048 }).map((k) => k / 8),
  BF16: fc.integer({ min: -256, max: 256 }).map((k) => k / 8),
  I32: fc.integer(),
  I64: fc.maxSafeInteger(),
  U8: fc.integer({ min: 0, max: 255 }),
  BOOL: fc.integer({ min: 0, max: 1 }),
};
const arrays = {
  F32: Float32Array,
  F64: Float64Array,
  F16: Float32Array,
  BF16: Float32Array,
  I32: Int32Array,
  I64: Float64Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};
const tensor: fc.Arbitrary<HostTensor> = fc
  .tuple(fc.constantFrom(...(Object.keys(values) as HostDtype[])), shapes)
  .chain(([dtype, shape]) => {
    const length = shape.reduce((product, size) => product * size, 1);
    return fc
      .array(values[dtype], { minLength: length, maxLength: length })
      .map((numbers) => ({ dtype, shape, data: new arrays[dtype](numbers) }));
  });
const names = fc
  .oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'toString', ''))
  .filter((name) => name !== '__metadata__');
const contents = fc.tuple(
  fc.dictionary(names, tensor, { maxKeys: 5 }),
  fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
);

/** Own entries in order of name, so that neither `__proto__` nor the order matters. */
function entries<T>(record: Record<string, T>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}

describe('round trip', () => {
  test('any tensors and metadata come back as they were', () => {
    fc.assert(
      fc.property(contents, ([tensors, metadata]) => {
        const bytes = encodeSafetensors(tensors, metadata);
        const decoded = decodeSafetensors(bytes);
        expect(entries(decoded.tensors)).toEqual(entries(tensors));
        expect(entries(decoded.metadata)).toEqual(entries(metadata));
        // The same content gives the same bytes, in whatever order it was put together.
        const reversed = Object.fromEntries(Object.entries(tensors).reverse());
        expect(encodeSafetensors(reversed, metadata)).toEqual(bytes);
      }),
      { numRuns: 200 },
    );
  });

  test('tensors are aligned and share no memory with the file', () => {
    const tensors = {
      a: { shape: [1], dtype: 'U8', data: new Uint8Array([7]) },
      b: { shape: [2], dtype: 'F64', data: new Float64Array([1, 2]) },
    } satisfies Record<string, HostTensor>;
    const bytes = Buffer.from(encodeSafetensors(tensors));
    const headerLength = Number(bytes.readBigUInt64LE());
    expect(headerLength % 8).toBe(0);
    const header = JSON.parse(bytes.subarray(8, 8 + headerLength).toString());
    expect(header.b.data_offsets).toEqual([0, 16]);
    const decoded = decodeSafetensors(bytes);
    bytes.fill(0xff);
    expect(decoded.tensors).toEqual(tensors);
  });

  test('16-bit tensors are rounded to nearest, ties to even', () => {
    const data = new Float32Array([1 + 2 ** -11, 1 + 3 * 2 ** -11, 1e5, 1e-8, Number.NaN]);
    const { tensors } = decodeSafetensors(
      encodeSafetensors({ half: { shape: [5], dtype: 'F16', data } }),
    );
    expect(tensors.half?.data).toEqual(
      new Float32Array([1, 1 + 2 ** -9, Number.POSITIVE_INFINITY, 0, Number.NaN]),
    );
  });
});

describe('golden files', () => {
  const files = fs.readdirSync(goldenFolder).filter((name) => name.endsWith('.safetensors'));

  test('there are some', () => expect(files.length).toBeGreaterThanOrEqual(5));

  test.each(files)('%s: every byte is read, and written again as it was', async (name) => {
    const { tensors } = await readSafetensors(path.join(goldenFolder, name));
    const again = decodeSafetensors(encodeSafetensors(tensors));
    expect(Object.keys(again.tensors).sort()).toEqual(Object.keys(tensors).sort());
    for (const [key, { shape, data }] of Object.entries(tensors)) {
      expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
      expect(Buffer.compare(bytesOf(again.tensors[key]?.data), bytesOf(data))).toBe(0);
    }
  });

  test.each(files)('%s: the values agree with an independent reading', (name) => {
    const bytes = fs.readFileSync(path.join(goldenFolder, name));
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
    const { tensors } = decodeSafetensors(bytes);
    for (const [key, entry] of Object.entries(header) as [string, HeaderEntry][]) {
      if (key === '__metadata__') continue;
      const at = 8 + length + entry.data_offsets[0];
      const data = tensors[key]?.data as Float32Array;
      if (data.length === 0) continue;
      const read = {
        F32: bytes.readFloatLE(at),
        F64: bytes.readDoubleLE(at),
        I32: bytes.readInt32LE(at),
      };
      expect(data[0]).toBe(read[entry.dtype]);
      expect(tensors[key]?.shape).toEqual(entry.shape);
    }
  });
});

interface HeaderEntry {
  dtype: 'F32' | 'F64' | 'I32';
  shape: number[];
  data_offsets: [number, number];
}

function bytesOf(array: HostTensor['data'] | undefined): Uint8Array {
  if (!array) return new Uint8Array();
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

const f32 = (shape: unknown, begin: unknown, end: unknown) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

/** Each way a file can be wrong: its bytes, the error's name, what the message must say. */
const damaged: Record<string, [Uint8Array, string, RegExp]> = {
  'an empty file': [new Uint8Array(), 'TruncatedFile', /0 bytes.*8 bytes/],
  'another kind of file': [
    Buffer.from('\x89PNG\r\n\x1a\n and so on', 'latin1'),
    'HeaderTooLarge',
    /no safetensors file/,
  ],
  'an end inside the header': [file({}).subarray(0, 9), 'TruncatedFile', /inside its header/],
  'a header that is no JSON': [file('{"a": '), 'InvalidHeader', /JSON object/],
  'a header that is a list': [file([]), 'InvalidHeader', /JSON object/],
  'a header that is not UTF-8': [
    Buffer.from(file('{"?": 1}')).fill(0xff, 10, 11),
    'InvalidHeader',
    /UTF-8/,
  ],
  'metadata that is no text': [file({ __metadata__: { a: 1 } }), 'InvalidHeader', /__metadata__/],
  'a tensor that is a number': [file({ w: 3 }), 'InvalidHeader', /'w'.*3/],
  'a dtype that is not text': [file({ w: { dtype: 1 } }), 'InvalidHeader', /'w' has dtype 1/],
  'an unknown dtype': [
    file({ w: { ...f32([1], 0, 4), dtype: 'F8_E4M3' } }, 4),
    'UnsupportedDtype',
    /'w' has dtype 'F8_E4M3'.*BF16/,
  ],
  'the name of a method as dtype': [
    file({ w: { ...f32([1], 0, 4), dtype: 'toString' } }, 4),
    'UnsupportedDtype',
    /toString/,
  ],
  'a negative size': [file({ w: f32([-1], 0, 4) }, 4), 'InvalidHeader', /'w' has shape \[-1\]/],
  'a size that is no integer': [file({ w: f32([1.5], 0, 4) }, 4), 'InvalidHeader', /\[1.5\]/],
  'a size that overflows': [
    file({ w: f32([2 ** 30, 2 ** 30, 2 ** 30], 0, 4) }, 4),
    'InvalidOffsets',
    /'w'/,
  ],
  'offsets that are no numbers': [file({ w: f32([1], '0', 4) }, 4), 'InvalidHeader', /"0"/],
  'offsets that do not fit the shape': [
    file({ w: f32([2], 0, 4) }, 4),
    'InvalidOffsets',
    /claims the 4 bytes.*Expected 8 bytes for shape \(2\) of F32/,
  ],
  'offsets that go backwards': [file({ w: f32([1], 4, 0) }, 4), 'InvalidOffsets', /-4 bytes/],
  'two tensors in one place': [
    file({ v: f32([2], 0, 8), w: f32([1], 4, 8) }, 8),
    'TensorOverlap',
    /'w' begins at byte 4, inside tensor 'v'/,
  ],
  'a gap between tensors': [
    file({ v: f32([1], 0, 4), w: f32([1], 8, 12) }, 12),
    'InvalidOffsets',
    /'w'.*gap after tensor 'v'/,
  ],
  'an end inside a tensor': [file({ w: f32([2], 0, 8) }, 7), 'TruncatedFile', /'w' ends at byte 8/],
  'bytes that belong to no tensor': [
    file({ w: f32([1], 0, 4) }, 6),
    'InvalidOffsets',
    /2 bytes after tensor 'w'/,
  ],
  'an integer beyond 53 bits': [
    file({ n: { dtype: 'I64', shape: [1], data_offsets: [0, 8] } }, new Uint8Array(8).fill(0x7f)),
    'InexactInteger',
    /'n'/,
  ],
};

describe('a damaged file', () => {
  test.each(Object.entries(damaged))('%s', (_, [bytes, name, message]) => {
    const error = thrownBy(() => decodeSafetensors(bytes, 'model.safetensors'));
    expect(error).toBeInstanceOf(UserError);
    expect(error.name).toBe(name);
    expect(error.message).toMatch(/^model\.safetensors/);
    expect(error.message).toMatch(message);
  });

  const names = new Set(Object.values(damaged).map(([, name]) => name));
  const whole = encodeSafetensors(
    {
      'blocks.0.weight': { shape: [2, 3], dtype: 'F32', data: new Float32Array(6).fill(0.5) },
      'blocks.0.bias': { shape: [3], dtype: 'BF16', data: new Float32Array(3) },
      step: { shape: [], dtype: 'I64', data: new Float64Array([12]) },
    },
    { experiment: 'tiny' },
  );

  test('bytes changed, inserted or cut off give a named error or a whole result', () => {
    const edit = fc.record({
      at: fc.nat(whole.length - 1),
      byte: fc.oneof(
        fc.integer({ min: 0, max: 255 }),
        fc.constantFrom(...Buffer.from('{}[],:"019')),
      ),
    });
    fc.assert(
      fc.property(
        fc.array(edit, { maxLength: 4 }),
        fc.option(fc.nat(whole.length), { nil: whole.length }),
        (edits, length) => {
          const bytes = whole.slice(0, length);
          for (const { at, byte } of edits) if (at < length) bytes[at] = byte;
          expectNamedErrorOrTensors(bytes, names);
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('random bytes give a named error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) =>
        expectNamedErrorOrTensors(bytes, names),
      ),
      { numRuns: 1000 },
    );
  });

  test('any JSON as header gives a named error or a whole result', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.nat(16), (json, body) =>
        expectNamedErrorOrTensors(file(json, body), names),
      ),
      { numRuns: 1000 },
    );
  });
});

function expectNamedErrorOrTensors(bytes: Uint8Array, names: Set<string>): void {
  try {
    for (const { shape, data } of Object.values(decodeSafetensors(bytes).tensors)) {
      expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    expect(names).toContain(error.name);
  }
}

describe('what cannot be written', () => {
  const data = new Float32Array(2);
  const cases: Record<string, [Record<string, HostTensor>, string, RegExp]> = {
    'a wrong number of elements': [
      { w: { shape: [3], dtype: 'F32', data } },
      'InvalidTensor',
      /'w'/,
    ],
    'the wrong kind of array': [
      { w: { shape: [2], dtype: 'I32', data } },
      'InvalidTensor',
      /Float32Array.*Int32Array/,
    ],
    'a reserved name': [
      { __metadata__: { shape: [2], dtype: 'F32', data } },
      'InvalidTensor',
      /reserved/,
    ],
    'a fraction as a 64-bit integer': [
      { n: { shape: [1], dtype: 'I64', data: new Float64Array([0.5]) } },
      'InexactInteger',
      /0\.5/,
    ],
  };
  test.each(Object.entries(cases))('%s', (_, [tensors, name, message]) => {
    const error = thrownBy(() => encodeSafetensors(tensors));
    expect(error.name).toBe(name);
    expect(error.message).toMatch(message);
  });
});

describe('files', () => {
  const tensors: Record<string, HostTensor> = {
    w: { shape: [2], dtype: 'F32', data: new Float32Array([1, 2]) },
  };

  test('are written and read, and nothing else is left in the folder', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
    const target = path.join(folder, 'new', 'model.safetensors');
    await writeSafetensors(target, tensors, { a: 'b' });
    expect(await readSafetensors(target)).toEqual({ tensors, metadata: { a: 'b' } });
    expect(fs.readdirSync(path.dirname(target))).toEqual(['model.safetensors']);
    fs.rmSync(folder, { recursive: true });
  });

  test('a missing file and a folder that cannot be made are named', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-'));
    const blocked = path.join(folder, 'file');
    fs.writeFileSync(blocked, 'kept');
    const missing = path.join(folder, 'none.safetensors');
    await expect(readSafetensors(missing)).rejects.toMatchObject({
      name: 'FileUnreadable',
      message: expect.stringContaining(missing),
    });
    await expect(
      writeSafetensors(path.join(blocked, 'model.safetensors'), tensors),
    ).rejects.toMatchObject({ name: 'FileUnwritable', message: expect.stringContaining(blocked) });
    expect(fs.readdirSync(folder)).toEqual(['file']);
    expect(fs.readFileSync(blocked, 'utf8')).toBe('kept');
    fs.rmSync(folder, { recursive: true });
  });
});

function thrownBy(f: () => unknown): Error {
  try {
    f();
  } catch (error) {
    return error as Error;
  }
  throw new Error('Nothing was thrown.');
}
