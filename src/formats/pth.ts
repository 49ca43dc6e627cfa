import type { FileHandle } from 'node:fs/promises';
import type { Entry } from 'yauzl';
import { UserError } from '../core/errors.js';
import { openForReading } from '../core/files.js';
import { bytesAt, bytesPerElement, type HostDtype } from './elements.js';
import {
  InvalidPickle,
  type Pickled,
  PickledGlobal,
  type PickleReaders,
  readPickle,
} from './pickle.js';
import {
  type SafetensorsFile,
  type StoredTensor,
  stretchOf,
  tensorsOfFile,
} from './safetensors.js';
import { TruncatedFile, UnsupportedDtype } from './safetensors-errors.js';
import { areCounts, elements } from './safetensors-header.js';
import { contentPosition, isStored, isWhole, zipEntries } from './zip.js';

/** A file of PyTorch's that is damaged or of a form that is not read here. */
export class InvalidTorchFile extends UserError {}

/** The numbers behind one or several tensors of a file. */
class Storage {
  /** Where it begins in the file, in bytes; below 0 as long as that is not known. */
  position = -1;

  /** @param count the number of elements */
  constructor(
    readonly dtype: HostDtype,
    readonly count: number,
  ) {}
}

/** A tensor that a pickle names: part of a storage. */
class PickledTensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: number[],
    readonly strides: number[],
  ) {}
}

const storageTypes: Readonly<Record<string, HostDtype>> = {
  'torch.FloatStorage': 'F32',
  'torch.DoubleStorage': 'F64',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.IntStorage': 'I32',
  'torch.LongStorage': 'I64',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};

const expected = 'Expected a state dict, written by torch.save(model.state_dict(), file)';

/** A zip archive, and the pickle of an integer of ten bytes: what `torch.save` begins with. */
const beginnings = [
  [0x50, 0x4b, 0x03, 0x04],
  [0x80, 0x02, 0x8a, 0x0a],
];

/**
 * True for the first bytes of a file that `torch.save` wrote. Fewer than four of them could be the
 * length of a safetensors header.
 */
export function isTorchFile(bytes: Uint8Array): boolean {
  return beginnings.some((beginning) => beginning.every((byte, i) => bytes[i] === byte));
}

/**
 * Opens a state dict that `torch.save` wrote, of whatever size: today's zip archives, and the files of
 * before PyTorch 1.6. Dictionaries within dictionaries have their names joined by a dot; what is no
 * tensor is left out. The pickle inside is read as data: it can name tensors and dictionaries, and a
 * file that names anything else is refused.
 *
 * @returns the open file, which the caller closes; its metadata are empty
 * @throws FileUnreadable; InvalidTorchFile, TruncatedFile; InvalidPickle that names what the pickle
 *   asks for; UnsupportedDtype
 */
export async function openTorchFile(path: string): Promise<SafetensorsFile> {
  const handle = await openForReading(path);
  try {
    const [first] = await bytesAt(handle, path, 0, 2);
    const root = first === 0x50 ? await readArchive(handle, path) : await readLegacy(handle, path);
    const stored = [...tensorsOf(root, path)].map(([name, tensor]): [string, StoredTensor] => {
      const { storage, offset, shape, strides } = tensor;
      const position = storage.position + offset * bytesPerElement[storage.dtype];
      return [name, { dtype: storage.dtype, shape, position, strides }];
    });
    return tensorsOfFile(handle, path, {}, new Map(stored));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

const deepest = 32;
/** A state dict has thousands of entries; shared dictionaries, each in many places, could be endless. */
const mostEntries = 1_000_000;

/** The tensors of a root object by name, those of inner dictionaries under joined names. */
function tensorsOf(root: Pickled, path: string): Map<string, PickledTensor> {
  const found = new Map<string, PickledTensor>();
  let entries = 0;
  const visit = (value: Pickled, names: string[]): void => {
    if (names.length > deepest) {
      throw new InvalidTorchFile(`${path} nests dictionaries without an end`, 'Copy it again');
    }
    if (value instanceof PickledTensor) found.set(names.join('.'), value);
    if (!(value instanceof Map)) return;
    entries += value.size;
    if (entries > mostEntries) {
      throw new InvalidTorchFile(
        `${path} nests more than ${mostEntries.toLocaleString('en-US')} entries`,
        'Copy it again',
      );
    }
    for (const [key, inner] of value) visit(inner, [...names, plainText(key)]);
  };
  if (root instanceof Map) visit(root, []);
  if (found.size > 0) return found;
  throw new InvalidTorchFile(`${path} holds no named tensors`, expected);
}

/**
 * The values that pickles of tensors are made of, anything else is refused by name; and the storages that
 * a pickle has named so far.
 */
function tensorReaders(path: string) {
  const storages = new Map<string, Storage>();
  const refused = (name: string) =>
    new InvalidPickle(
      `${path} asks for ${name}, which is no part of a state dict`,
      'Load it where you trust it, and save its state dict alone: torch.save(model.state_dict(), file)',
    );
  const readers: PickleReaders = {
    call(name, args) {
      switch (name) {
        case 'collections.OrderedDict':
          return orderedDictionary(path, args[0]);
        case 'torch._utils._rebuild_tensor_v2':
          return rebuiltTensor(path, args);
        case 'torch._utils._rebuild_parameter':
          return args[0] ?? null;
        default:
          throw refused(name);
      }
    },
    persistent(id) {
      const [what, type, key, , count, view] = Array.isArray(id) ? id : [];
      const name = type instanceof PickledGlobal ? type.name : '';
      if (what !== 'storage' || name === '') throw refused('an outside object');
      const dtype = storageTypes[name];
      if (!dtype) {
        throw new UnsupportedDtype(
          `${path} has numbers of type ${name}`,
          `Expected one of ${Object.keys(storageTypes).join(', ')}`,
        );
      }
      if (view !== null && view !== undefined) {
        throw new InvalidTorchFile(`${path} has views of storages`, 'Save it with a newer PyTorch');
      }
      const known = storages.get(plainText(key));
      if (known && known.dtype !== dtype) throw damaged(path, 'tensor, of two types of numbers');
      const storage = known ?? newStorage(path, dtype, count);
      storages.set(plainText(key), storage);
      return storage;
    },
  };
  return { readers, storages };
}

function orderedDictionary(path: string, entries: Pickled | undefined): Pickled {
  const pairs = entries ?? [];
  if (Array.isArray(pairs) && pairs.every((pair) => Array.isArray(pair))) {
    return new Map(pairs.map(([key = null, value = null]) => [key, value]));
  }
  throw damaged(path, 'dictionary');
}

/** A key as text; lists, which may hold each other many times over, are none. */
function plainText(key: Pickled | undefined): string {
  return typeof key === 'object' ? '?' : String(key);
}

function damaged(path: string, what: string): InvalidTorchFile {
  return new InvalidTorchFile(`${path} has a damaged ${what}`, 'Download or copy it again');
}

/** A storage that a pickle names, whose place in the file is found later. */
function newStorage(path: string, dtype: HostDtype, count: Pickled | undefined): Storage {
  if (typeof count === 'number' && Number.isSafeInteger(count) && count >= 0) {
    return new Storage(dtype, count);
  }
  throw damaged(path, 'tensor');
}

function rebuiltTensor(path: string, [storage, offset, shape, strides]: Pickled[]): PickledTensor {
  if (
    !(storage instanceof Storage) ||
    typeof offset !== 'number' ||
    !areCounts([offset]) ||
    !areCounts(shape) ||
    !areCounts(strides) ||
    shape.length !== strides.length
  ) {
    throw damaged(path, 'tensor');
  }
  const stretch = stretchOf(shape, strides);
  if (stretch > 0 && offset + stretch > storage.count) {
    throw new InvalidTorchFile(
      `${path} has a tensor of shape (${shape}) that reaches beyond its ${storage.count} numbers`,
      'Download or copy it again',
    );
  }
  // Numbers that stand for many, by a stride of 0, would fill the memory from a small file.
  if (elements(shape) > storage.count) {
    throw new InvalidTorchFile(
      `${path} has a tensor of shape (${shape}) of ${storage.count} numbers`,
      'Save it as it is in memory: tensor.contiguous()',
    );
  }
  return new PickledTensor(storage, offset, shape, strides);
}

/** Today's form: a zip archive, not compressed, of a pickle and a file for each storage. */
async function readArchive(handle: FileHandle, path: string): Promise<Pickled> {
  const entries = await archiveEntries(path);
  const pickle = [...entries.keys()].find((name) => /(^|\/)data\.pkl$/.test(name));
  if (pickle === undefined) {
    throw new InvalidTorchFile(`${path} is a zip archive without a data.pkl`, expected);
  }
  const folder = pickle.slice(0, -'data.pkl'.length);
  const placed = async (name: string): Promise<Place> => {
    const entry = entries.get(name);
    if (!entry) throw new TruncatedFile(`${path} lacks ${name}`, 'Download or copy it again');
    return placeOf(handle, path, entry);
  };
  const byteOrder = entries.has(`${folder}byteorder`) && (await placed(`${folder}byteorder`));
  if (
    byteOrder &&
    (await bytesAt(handle, path, byteOrder.position, 3)).toString() !== '108,105,116'
  ) {
    throw new InvalidTorchFile(`${path} is of a big-endian machine`, 'Save it on another one');
  }
  const { position, length } = await placed(pickle);
  const bytes = await bytesAt(handle, path, position, length);
  const { readers, storages } = tensorReaders(path);
  const { value } = readPickle(bytes, 0, path, readers);
  for (const [key, storage] of storages) {
    const name = `${folder}data/${key}`;
    const place = await placed(name);
    if (storage.count * bytesPerElement[storage.dtype] > place.length) {
      throw new TruncatedFile(
        `${path} has ${place.length} bytes of ${name}, for ${storage.count} numbers`,
        'Download or copy it again',
      );
    }
    storage.position = place.position;
  }
  return value;
}

/** A stretch of a file, in bytes. */
interface Place {
  position: number;
  length: number;
}

async function archiveEntries(path: string): Promise<Map<string, Entry>> {
  try {
    return await zipEntries(path);
  } catch (error) {
    throw new InvalidTorchFile(
      `${path} is a damaged zip archive (${(error as Error).message})`,
      'Download or copy it again',
    );
  }
}

async function placeOf(handle: FileHandle, path: string, entry: Entry): Promise<Place> {
  if (!isStored(entry)) {
    throw new InvalidTorchFile(
      `${path} has ${entry.fileName} compressed`,
      'torch.save writes it as it is: load it there and save it again',
    );
  }
  const position = await contentPosition(handle, path, entry);
  if (!(await isWhole(handle, path, entry, position)))
    throw damaged(path, `part, ${entry.fileName}`);
  return { position, length: entry.uncompressedSize };
}

/** The pickles of an old file are at most so long. */
const mostOfPickles = 2 ** 26;
/** What old files begin with, as the nearest double: 0x1950a86a20f9469cfc6c. */
const legacyMagic = Number(0x1950a86a20f9469cfc6cn);

/**
 * The form before PyTorch 1.6: pickles of a magic number, a version, the machine, the object and the
 * keys of its storages, then for each of them its length and its numbers.
 */
async function readLegacy(handle: FileHandle, path: string): Promise<Pickled> {
  const { size } = await handle.stat();
  const bytes = await bytesAt(handle, path, 0, Math.min(size, mostOfPickles));
  const { readers, storages } = tensorReaders(path);
  let at = 0;
  const next = (): Pickled => {
    const { value, end } = readPickle(bytes, at, path, readers);
    at = end;
    return value;
  };
  if (next() !== legacyMagic) {
    throw new InvalidTorchFile(`${path} is a pickle, but none that torch.save wrote`, expected);
  }
  next();
  const machine = next();
  if (machine instanceof Map && machine.get('little_endian') === false) {
    throw new InvalidTorchFile(`${path} is of a big-endian machine`, 'Save it on another one');
  }
  const root = next();
  const keys = next();
  for (const key of Array.isArray(keys) ? keys : []) {
    const storage = storages.get(plainText(key));
    if (!storage) throw damaged(path, 'list of numbers');
    storage.position = at + 8;
    at += 8 + storage.count * bytesPerElement[storage.dtype];
  }
  if ([...storages.values()].some(({ position }) => position < 0)) {
    throw damaged(path, 'list of numbers');
  }
  if (at > size) {
    throw new TruncatedFile(`${path} has ${size} bytes of ${at}`, 'Download or copy it again');
  }
  return root;
}
