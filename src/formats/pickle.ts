import { UserError } from '../core/errors.js';

/** A pickle that asks for something that is not read here, or that is damaged. */
export class InvalidPickle extends UserError {}

/** What pickles hold here: plain values, tuples and lists as arrays, dictionaries as maps. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | Pickled[]
  | Map<Pickled, Pickled>
  | PickledGlobal
  | object;

/** A class or function that a pickle names: a name, of which the beginning is kept, and nothing to call. */
export class PickledGlobal {
  constructor(readonly name: string) {}
}

/** What a pickle may make. */
export interface PickleReaders {
  /** What calling a global gives; throws for one that is not known. */
  call(name: string, args: Pickled[]): Pickled;
  /** What an id of an object outside of the pickle stands for. */
  persistent(id: Pickled): Pickled;
}

const mark = Symbol('mark');

/**
 * Reads one pickle of protocols 2 to 5. It builds plain values only: what else a pickle names is handed
 * to `readers`, and nothing is ever imported or executed.
 *
 * @param start where the pickle begins
 * @param file for errors
 * @returns its value, and where it ends
 * @throws InvalidPickle that names what is not read here
 */
export function readPickle(
  bytes: Uint8Array,
  start: number,
  file: string,
  readers: PickleReaders,
): { value: Pickled; end: number } {
  const reader = new PickleReader(bytes, start, file, readers);
  return { value: reader.read(), end: reader.position };
}

class PickleReader {
  position: number;
  readonly view: DataView;
  private stack: (Pickled | typeof mark)[] = [];
  readonly memo = new Map<number, Pickled>();

  constructor(
    private readonly bytes: Uint8Array,
    start: number,
    private readonly file: string,
    readonly readers: PickleReaders,
  ) {
    this.position = start;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(): Pickled {
    for (;;) {
      const at = this.position;
      const code = this.unsigned(1);
      if (code === 0x2e) return this.pop();
      const operation = operations[code];
      if (!operation) {
        const shown = `0x${code.toString(16).padStart(2, '0')}`;
        throw this.error(`asks at byte ${at} for the operation ${shown}, which is not read here`);
      }
      operation(this);
    }
  }

  error(problem: string): InvalidPickle {
    return new InvalidPickle(
      `${this.file} ${problem}`,
      'Expected a state dict, written by torch.save(model.state_dict(), file)',
    );
  }

  /** The next bytes as a little-endian number. */
  unsigned(width: number): number {
    const at = this.advance(width);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.bytes[at + i]!;
    return value;
  }

  /** A little-endian integer in two's complement, as a number as near as there is. */
  long(width: number): number {
    const at = this.advance(width);
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[at + i]!);
    return Number(width === 0 ? 0n : BigInt.asIntN(8 * width, value));
  }

  text(length: number): string {
    const at = this.advance(length);
    return Buffer.from(this.bytes.subarray(at, at + length)).toString('utf8');
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw this.error('ends inside its pickle');
    const text = this.text(end - this.position);
    this.position++;
    return text;
  }

  push(value: Pickled | typeof mark): void {
    this.stack.push(value);
  }

  pop(): Pickled {
    const value = this.stack.pop();
    if (value === undefined || value === mark) throw this.error('has a damaged pickle');
    return value;
  }

  top(): Pickled {
    const value = this.pop();
    this.stack.push(value);
    return value;
  }

  /** All above the last mark, which goes too. */
  popMarked(): Pickled[] {
    const at = this.stack.lastIndexOf(mark);
    if (at < 0) throw this.error('has a damaged pickle');
    return this.stack.splice(at).slice(1) as Pickled[];
  }

  remember(key: number): void {
    this.memo.set(key, this.top());
  }

  recall(key: number): void {
    const value = this.memo.get(key);
    if (value === undefined) throw this.error('has a damaged pickle');
    this.push(value);
  }

  extend(values: Pickled[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.error('has a damaged pickle');
    for (const value of values) list.push(value);
  }

  set(entries: Pickled[]): void {
    const map = this.top();
    if (!(map instanceof Map) || entries.length % 2 === 1) throw this.error('has a damaged pickle');
    for (let i = 0; i < entries.length; i += 2) map.set(entries[i]!, entries[i + 1]!);
  }

  tuple(count: number): void {
    const values = Array.from({ length: count }, () => this.pop());
    this.push(values.reverse());
  }

  reduce(): void {
    const [args, callee] = [this.pop(), this.pop()];
    if (!(callee instanceof PickledGlobal && Array.isArray(args))) {
      throw this.error('has a damaged pickle');
    }
    this.push(this.readers.call(callee.name, args));
  }

  /** Attributes of a dictionary, such as the versions of its modules, are no tensors. */
  build(): void {
    this.pop();
    if (!(this.top() instanceof Map)) throw this.error('gives attributes to what is no dictionary');
  }

  /** Where the next bytes begin, which are passed over. */
  advance(width: number): number {
    const at = this.position;
    if (at + width > this.bytes.length) throw this.error('ends inside its pickle');
    this.position += width;
    return at;
  }
}

/** By code (Python's pickletools.py): those that plain values and tensors take. */
const operations: Readonly<Record<number, (reader: PickleReader) => void>> = {
  // PROTO, FRAME
  128: (r) => void r.unsigned(1),
  149: (r) => void r.unsigned(8),
  // MARK, EMPTY_TUPLE, TUPLE1 … TUPLE3, TUPLE
  40: (r) => r.push(mark),
  41: (r) => r.push([]),
  133: (r) => r.tuple(1),
  134: (r) => r.tuple(2),
  135: (r) => r.tuple(3),
  116: (r) => r.push(r.popMarked()),
  // EMPTY_LIST, APPEND, APPENDS, EMPTY_DICT, SETITEM, SETITEMS
  93: (r) => r.push([]),
  97: (r) => r.extend([r.pop()]),
  101: (r) => r.extend(r.popMarked()),
  125: (r) => r.push(new Map()),
  115: (r) => {
    const [value, key] = [r.pop(), r.pop()];
    r.set([key, value]);
  },
  117: (r) => r.set(r.popMarked()),
  // NONE, NEWTRUE, NEWFALSE
  78: (r) => r.push(null),
  136: (r) => r.push(true),
  137: (r) => r.push(false),
  // BININT, BININT1, BININT2, LONG1, BINFLOAT
  74: (r) => r.push(r.view.getInt32(r.advance(4), true)),
  75: (r) => r.push(r.unsigned(1)),
  77: (r) => r.push(r.unsigned(2)),
  138: (r) => r.push(r.long(r.unsigned(1))),
  71: (r) => r.push(r.view.getFloat64(r.advance(8))),
  // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, BINSTRING, SHORT_BINSTRING
  88: (r) => r.push(r.text(r.unsigned(4))),
  140: (r) => r.push(r.text(r.unsigned(1))),
  141: (r) => r.push(r.text(r.unsigned(8))),
  84: (r) => r.push(r.text(r.unsigned(4))),
  85: (r) => r.push(r.text(r.unsigned(1))),
  // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
  113: (r) => r.remember(r.unsigned(1)),
  114: (r) => r.remember(r.unsigned(4)),
  148: (r) => r.remember(r.memo.size),
  104: (r) => r.recall(r.unsigned(1)),
  106: (r) => r.recall(r.unsigned(4)),
  // GLOBAL, STACK_GLOBAL, REDUCE, BUILD, BINPERSID
  99: (r) => r.push(new PickledGlobal(`${r.line()}.${r.line()}`.slice(0, 200))),
  147: (r) => {
    const [name, module] = [r.pop(), r.pop()];
    if (typeof name !== 'string' || typeof module !== 'string')
      throw r.error('has a damaged pickle');
    r.push(new PickledGlobal(`${module}.${name}`.slice(0, 200)));
  },
  82: (r) => r.reduce(),
  // NEWOBJ, NEWOBJ_EX: objects of a class, which is refused by its name
  129: (r) => r.reduce(),
  146: (r) => {
    r.pop();
    r.reduce();
  },
  98: (r) => r.build(),
  81: (r) => r.push(r.readers.persistent(r.pop())),
};
