import { types } from '../native/binding.js';
import { entryOf } from '../records.js';
import { elements, type Operation, type Trace, type Value } from '../trace/operations.js';
import { cast, isNarrowing, isWidening } from './casts.js';
import { isSumToLastAxis } from './rewrite.js';
import {
  handOver,
  int32Vector,
  made,
  madeBy,
  replaceOperations,
  resultOf,
  usesOf,
} from './trace-edit.js';

/**
 * Computes sums of rows as a product with ones, where the rows also exist in bfloat16 and only the
 * sum needs them in float32: half as many bytes are read, and the float32 numbers need not be made.
 * The product adds in float32 and rounds its result, as automatic mixed precision does with the
 * gradient of a bias. The trace is changed.
 */
export function sumRowsByProducts(trace: Trace): void {
  const uses = usesOf(trace);
  const ones = new Map<number, Value>(); // by their count
  const moved = new Set<Operation>();
  const operations: Operation[] = [];
  for (const operation of trace.operations) {
    const [x] = operation.inputs;
    const widening = madeBy(x, 'Cast');
    const others = (x ? (uses.get(x) ?? []) : []).filter((user) => user !== operation);
    const narrowings = others.flatMap((user) => (user && isNarrowing(user) ? [user] : []));
    const fits =
      isSumToLastAxis(operation) &&
      x?.shape.length === 2 &&
      elements(x) >= leastElements &&
      (widening ? isWidening(widening) : narrowings.length > 0) &&
      narrowings.length === others.length;
    if (!fits || !x) {
      if (!moved.has(operation)) operations.push(operation);
      continue;
    }
    let rows = widening?.inputs[0];
    if (!rows) {
      const narrowing = entryOf(narrowings, 0);
      rows = resultOf(narrowing);
      if (!operations.includes(narrowing)) operations.push(narrowing);
      moved.add(narrowing);
    }
    const [count, width] = [entryOf(x.shape, 0), entryOf(x.shape, 1)];
    let row = ones.get(count);
    if (!row) {
      const fill = made('Fill', {}, [int32Vector([1, count]), one], {
        shape: [1, count],
        type: types.bfloat16,
      });
      operations.push(fill);
      row = resultOf(fill);
      ones.set(count, row);
    }
    const narrow = { shape: [1, width], type: types.bfloat16 };
    const product = made('MatMul', {}, [row, rows], narrow);
    const wide = cast(resultOf(product), types.float32);
    const sum = made('Reshape', {}, [resultOf(wide), int32Vector([width])], {
      shape: [width],
      type: types.float32,
    });
    operations.push(product, wide, handOver(sum, resultOf(operation)));
  }
  replaceOperations(trace.operations, operations);
}

/** With fewer numbers, a pass over memory takes less time than the calls. */
const leastElements = 1 << 18;

/** 1 in bfloat16. */
const one: Value = {
  from: 'constant',
  shape: [],
  type: types.bfloat16,
  content: Uint8Array.of(0x80, 0x3f),
};
