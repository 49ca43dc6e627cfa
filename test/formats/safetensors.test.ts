import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/core/errors.js';
import {
  type HostDtype,
  type HostTensor,
  openSafetensors,
  readSafetensors,
  type Safetensors,
  type TensorSource,
  writeSafetensors,
} from '../../src/formats/safetensors.js';
import { sharedFolder } from '../temporary-folder.js';

const goldenFolder = path.join(__dirname, '..', 'golden');

const folder = sharedFolder();

/** The bytes that tensors are written as. */
async function encoded(
  tensors: Record<string, TensorSource>,
  metadata: Record<string, string> = {},
): Promise<Buffer> {
  const target = path.join(folder, 'encoded.safetensors');
  await writeSafetensors(target, tensors, metadata);
  return fs.readFileSync(target);
}

/** What a file with these bytes holds. */
function decoded(bytes: Uint8Array, name = 'decoded.safetensors'): Promise<Safetensors> {
  const source = path.join(folder, name);
  fs.writeFileSync(source, bytes);
  return readSafetensors(source);
}

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

/** Random cases of a property; `npm run nightly` sets TARFLOW_NIGHTLY. */
const runs = (nightly: number) => ({
  numRuns: process.env.TARFLOW_NIGHTLY ? nightly : nightly / 5,
});

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
  test('any tensors and metadata come back as they were', async () => {
    await fc.assert(
      fc.asyncProperty(contents, async ([tensors, metadata]) => {
        const bytes = await encoded(tensors, metadata);
        const back = await decoded(bytes);
        expect(entries(back.tensors)).toEqual(entries(tensors));
        expect(entries(back.metadata)).toEqual(entries(metadata));
        // The same content gives the same bytes, in whatever order it was put together.
        const reversed = Object.fromEntries(Object.entries(tensors).reverse());
        expect(await encoded(reversed, metadata)).toEqual(bytes);
      }),
      { numRuns: 200 },
    );
  });

  test('tensors are aligned', async () => {
    const tensors = {
      a: { shape: [1], dtype: 'U8', data: new Uint8Array([7]) },
      b: { shape: [2], dtype: 'F64', data: new Float64Array([1, 2]) },
    } satisfies Record<string, HostTensor>;
    const bytes = await encoded(tensors);
    const headerLength = Number(bytes.readBigUInt64LE());
    expect(headerLength % 8).toBe(0);
    const header = JSON.parse(bytes.subarray(8, 8 + headerLength).toString());
    expect(header.b.data_offsets).toEqual([0, 16]);
    expect((await decoded(bytes)).tensors).toEqual(tensors);
  });

  test('16-bit tensors are rounded to nearest, ties to even', async () => {
    const infinite = Number.POSITIVE_INFINITY;
    const data = new Float32Array([1 + 2 ** -11, 1 + 3 * 2 ** -11, infinite, 1e-8, Number.NaN]);
    const { tensors } = await decoded(await encoded({ half: { shape: [5], dtype: 'F16', data } }));
    expect(tensors.half?.data).toEqual(new Float32Array([1, 1 + 2 ** -9, infinite, 0, Number.NaN]));
  });
});

describe('golden files', () => {
  const files = fs.readdirSync(goldenFolder).filter((name) => name.endsWith('.safetensors'));

  test.each(files)('%s: every byte is read, and written again as it was', async (name) => {
    const { tensors } = await readSafetensors(path.join(goldenFolder, name));
    const again = await decoded(await encoded(tensors));
    expect(Object.keys(again.tensors).sort()).toEqual(Object.keys(tensors).sort());
    for (const [key, { shape, data }] of Object.entries(tensors)) {
      expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
      expect(Buffer.compare(bytesOf(again.tensors[key]?.data), bytesOf(data))).toBe(0);
    }
  });
});

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
  'a header that is not of its sum': [
    file({ __metadata__: { 'tarflow.crc32': '0000000000000000' }, w: f32([1], 0, 4) }, 4),
    'OtherBytes',
    /its header has other bytes than were written/,
  ],
};

describe('a damaged file', () => {
  test.each(Object.entries(damaged))('%s', async (_, [bytes, name, message]) => {
    const error = await rejection(decoded(bytes, 'model.safetensors'));
    expect(error).toBeInstanceOf(UserError);
    expect(error.name).toBe(name);
    expect(error.message.startsWith(path.join(folder, 'model.safetensors'))).toBe(true);
    expect(error.message).toMatch(message);
  });

  const names = new Set(Object.values(damaged).map(([, name]) => name));

  test('bytes changed, inserted or cut off give a named error or a whole result', async () => {
    const whole = await encoded(
      {
        'blocks.0.weight': { shape: [2, 3], dtype: 'F32', data: new Float32Array(6).fill(0.5) },
        'blocks.0.bias': { shape: [3], dtype: 'BF16', data: new Float32Array(3) },
        step: { shape: [], dtype: 'I64', data: new Float64Array([12]) },
      },
      { experiment: 'tiny' },
    );
    const edit = fc.record({
      at: fc.nat(whole.length - 1),
      byte: fc.oneof(
        fc.integer({ min: 0, max: 255 }),
        fc.constantFrom(...Buffer.from('{}[],:"019')),
      ),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(edit, { maxLength: 4 }),
        fc.option(fc.nat(whole.length), { nil: whole.length }),
        async (edits, length) => {
          const bytes = new Uint8Array(whole.subarray(0, length));
          for (const { at, byte } of edits) if (at < length) bytes[at] = byte;
          await expectNamedErrorOrTensors(bytes, names);
        },
      ),
      runs(3000),
    );
  });

  test('random bytes give a named error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), (bytes) =>
        expectNamedErrorOrTensors(bytes, names),
      ),
      runs(1000),
    );
  });

  test('any JSON as header gives a named error or a whole result', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json({ maxDepth: 4 }), fc.nat(16), (json, body) =>
        expectNamedErrorOrTensors(file(json, body), names),
      ),
      runs(1000),
    );
  });
});

async function expectNamedErrorOrTensors(bytes: Uint8Array, names: Set<string>): Promise<void> {
  try {
    for (const { shape, data } of Object.values((await decoded(bytes)).tensors)) {
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
    'a number beyond binary16': [
      { h: { shape: [2], dtype: 'F16', data: new Float32Array([65504, -65520]) } },
      'Overflow',
      /'h'.*-65520.*BF16/,
    ],
    'a number beyond bfloat16': [
      { h: { shape: [1], dtype: 'BF16', data: new Float32Array([3.4e38]) } },
      'Overflow',
      /'h'.*F32/,
    ],
  };
  test.each(Object.entries(cases))('%s', async (_, [tensors, name, message]) => {
    const error = await rejection(encoded(tensors));
    expect(error.name).toBe(name);
    expect(error.message).toMatch(message);
  });
});

describe('files', () => {
  const tensors: Record<string, HostTensor> = {
    w: { shape: [2], dtype: 'F32', data: new Float32Array([1, 2]) },
  };

  test('are written and read, and nothing else is left in the folder', async () => {
    const target = path.join(folder, 'new', 'model.safetensors');
    await writeSafetensors(target, tensors, { a: 'b' });
    expect(await readSafetensors(target)).toEqual({ tensors, metadata: { a: 'b' } });
    expect(fs.readdirSync(path.dirname(target))).toEqual(['model.safetensors']);
  });

  test('a missing file, a folder, and a folder that cannot be made are named', async () => {
    const inside = path.join(folder, 'named');
    fs.mkdirSync(inside);
    const blocked = path.join(inside, 'file');
    fs.writeFileSync(blocked, 'kept');
    const missing = path.join(inside, 'none.safetensors');
    for (const unreadable of [missing, inside]) {
      await expect(readSafetensors(unreadable)).rejects.toMatchObject({
        name: 'FileUnreadable',
        message: expect.stringContaining(unreadable),
      });
    }
    await expect(
      writeSafetensors(path.join(blocked, 'model.safetensors'), tensors),
    ).rejects.toMatchObject({ name: 'FileUnwritable', message: expect.stringContaining(blocked) });
    expect(fs.readdirSync(inside)).toEqual(['file']);
    expect(fs.readFileSync(blocked, 'utf8')).toBe('kept');
  });
});

describe('tensor by tensor', () => {
  const zeros = (length: number): TensorSource => ({
    shape: [length],
    dtype: 'F32',
    data: new Float32Array(length),
  });

  test('an open file tells what it has, and reads what is asked for', async () => {
    const target = path.join(folder, 'open.safetensors');
    const data = new Float32Array([1, 2, 3]);
    const w: HostTensor = { shape: [3, 1], dtype: 'BF16', data };
    await writeSafetensors(target, { v: zeros(2), w }, { a: 'b' });
    const file = await openSafetensors(target);
    expect(file.metadata).toEqual({ a: 'b' });
    expect(file.tensors).toEqual({
      v: { shape: [2], dtype: 'F32' },
      w: { shape: [3, 1], dtype: 'BF16' },
    });
    expect(await file.read('w')).toEqual(w);
    for (const name of ['x', 'toString']) {
      await expect(file.read(name)).rejects.toMatchObject({
        name: 'MissingTensor',
        message: expect.stringContaining(`'${name}'`),
      });
    }
    await file.close();
  });

  // Sparse, so that it takes neither time nor room.
  test('what lies beyond 2^31 and 2^32 bytes is read from there', async () => {
    const target = path.join(folder, 'large.safetensors');
    const [a, b, c] = [2 ** 31 + 4, 2 ** 32 + 8, 2 ** 33 + 2 ** 32];
    const header = file({
      first: { dtype: 'U8', shape: [a], data_offsets: [0, a] },
      second: { dtype: 'F32', shape: [(b - a) / 4], data_offsets: [a, b] },
      v: { dtype: 'F32', shape: [2], data_offsets: [b, b + 8] },
      third: { dtype: 'BF16', shape: [(c - b - 8) / 2], data_offsets: [b + 8, c] },
      w: { dtype: 'BF16', shape: [], data_offsets: [c, c + 2] },
    });
    const handle = fs.openSync(target, 'w');
    fs.writeSync(handle, header);
    fs.writeSync(handle, Buffer.from(new Float32Array([1.5, -2]).buffer), 0, 8, header.length + b);
    fs.writeSync(handle, Buffer.from([0x80, 0xbf]), 0, 2, header.length + c);
    fs.closeSync(handle);
    const opened = await openSafetensors(target);
    expect(opened.tensors.third?.shape).toEqual([(c - b - 8) / 2]);
    expect((await opened.read('v')).data).toEqual(new Float32Array([1.5, -2]));
    expect((await opened.read('w')).data).toEqual(new Float32Array([-1]));
    await opened.close();
    fs.truncateSync(target, header.length + c);
    await expect(openSafetensors(target)).rejects.toMatchObject({ name: 'TruncatedFile' });
    fs.rmSync(target);
  });

  test('offsets beyond 2^32 are written, and data are asked for at their turn', async () => {
    const target = path.join(folder, 'turns', 'huge.safetensors');
    const asked: string[] = [];
    let header: Record<string, { data_offsets: number[] }> = {};
    const written = writeSafetensors(target, {
      a: {
        ...zeros(2),
        data: () => {
          asked.push('a');
          return new Float32Array(2);
        },
      },
      b: {
        shape: [3, 2 ** 30],
        dtype: 'F32',
        data: async () => {
          asked.push('b');
          const [temporary] = fs.readdirSync(path.dirname(target)) as [string];
          const bytes = fs.readFileSync(path.join(path.dirname(target), temporary));
          header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString());
          // The first tensor is in the file before the second is asked for.
          expect(bytes.length).toBe(8 + Number(bytes.readBigUInt64LE()) + 8);
          throw new Error('enough');
        },
      },
      c: { ...zeros(1), data: () => new Float32Array(1) },
    });
    await expect(written).rejects.toThrow('enough');
    expect(asked).toEqual(['a', 'b']);
    expect(header.b?.data_offsets).toEqual([8, 8 + 3 * 2 ** 32]);
    expect(header.c?.data_offsets).toEqual([8 + 3 * 2 ** 32, 12 + 3 * 2 ** 32]);
    expect(fs.readdirSync(path.dirname(target))).toEqual([]);
  });

  test('data that do not fit leave the file that was there', async () => {
    const target = path.join(folder, 'kept', 'kept.safetensors');
    await writeSafetensors(target, { w: zeros(2) });
    const before = fs.readFileSync(target);
    const short = { w: { ...zeros(3), data: () => new Float32Array(2) } };
    await expect(writeSafetensors(target, short)).rejects.toMatchObject({
      name: 'InvalidTensor',
      message: expect.stringMatching(/'w' has shape \(3\) and 2 elements/),
    });
    expect(fs.readFileSync(target)).toEqual(before);
    expect(fs.readdirSync(path.dirname(target))).toEqual(['kept.safetensors']);
  });

  test('data that come in parts are one tensor, which they have to fill', async () => {
    const given = async (dtype: 'F32' | 'F16', ...sizes: number[]) => {
      const target = path.join(folder, 'parts.safetensors');
      async function* data() {
        let at = 0;
        for (const size of sizes) yield Float32Array.from({ length: size }, () => ++at);
      }
      await writeSafetensors(target, { w: { shape: [2, 3], dtype, data } });
      return (await readSafetensors(target)).tensors.w?.data;
    };
    for (const dtype of ['F32', 'F16'] as const) {
      expect(await given(dtype, 1, 4, 0, 1)).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    }
    await expect(given('F32', 4, 1)).rejects.toThrow(/'w' has shape \(2,3\) and 5 elements/);
    await expect(given('F32', 4, 4)).rejects.toThrow(/and 8 elements/);
    async function* wrong() {
      yield new Int32Array(6);
    }
    const target = path.join(folder, 'wrong.safetensors');
    await expect(
      writeSafetensors(target, { w: { shape: [6], dtype: 'F32', data: wrong } }),
    ).rejects.toThrow(/'w' of dtype F32 is a Int32Array/);
    expect(fs.existsSync(target)).toBe(false);
  });

  test('what is converted in several parts is whole', async () => {
    // More than a part, and no multiple of one.
    const count = 2 ** 19 + 12_345;
    const numbers = (k: number): number => (k * 7919) % 256;
    const kinds = { BF16: Float32Array, F16: Float32Array, I64: Float64Array };
    for (const [dtype, array] of Object.entries(kinds) as ['BF16', typeof Float32Array][]) {
      const data = array.from({ length: count }, (_, k) => numbers(k));
      const target = path.join(folder, 'parts.safetensors');
      await writeSafetensors(target, { w: { shape: [count], dtype, data } });
      const { tensors } = await readSafetensors(target);
      expect(Buffer.compare(bytesOf(tensors.w?.data), bytesOf(data))).toBe(0);
      const file = await openSafetensors(target);
      fs.truncateSync(target, fs.statSync(target).size - 1);
      await expect(file.read('w')).rejects.toMatchObject({
        name: 'TruncatedFile',
        message: expect.stringMatching(/inside tensor 'w'/),
      });
      await file.close();
    }
  });
});

/** The error that a promise ends with. */
async function rejection(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => {
      throw new Error('Nothing was thrown.');
    },
    (error: Error) => error,
  );
}
