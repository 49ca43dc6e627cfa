import { types } from '../../native/binding.js';
import { elements, type Operation, type Trace, type Value } from '../trace/tracing.js';
import { cast, handOver, isNarrowing, isWidening, made, usesOf } from './casts.js';
import { isSumToLastAxis, madeBy } from './rewrite.js';

/**
 * Takes the sums of rows that are there in bfloat16 too, and in float32 for that alone, as a product
 * with ones: half as many bytes are read, and the float32 ones need not be made. The product adds in
 * float32 and rounds its result, as automatic mixed precision does with the gradient of a bias. The
 * trace is changed.
 */
export function sumRowsByProducts(trace: Trace): void {
  const uses = usesOf(trace);
  const ones = new Map<number, Value>(); // by their number
  const moved = new Set<Operation>();
  const operations: Operation[] = [];
  for (const operation of trace.operations) {
    const [x] = operation.inputs;
    const widening = madeBy(x, 'Cast');
    const others = (x ? (uses.get(x) ?? []) : []).filter((user) => user !== operation);
    const narrowings = others.filter((user) => user !== undefined && isNarrowing(user));
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
      const narrowing = narrowings[0] as Operation;
      rows = narrowing.outputs[0] as Value;
      if (!operations.includes(narrowing)) operations.push(narrowing);
      moved.add(narrowing);
    }
    const [count, width] = x.shape as [number, number];
    let row = ones.get(count);
    if (!row) {
      const fill = made('Fill', {}, [vector([1, count]), one], {
        shape: [1, count],
        type: types.bfloat16,
      });
      operations.push(fill);
      row = fill.outputs[0] as Value;
      ones.set(count, row);
    }
    const narrow = { shape: [1, width], type: types.bfloat16 };
    const product = made('MatMul', {}, [row, rows], narrow);
    const wide = cast(product.outputs[0] as Value, types.float32);
    const sum = made('Reshape', {}, [wide.outputs[0] as Value, vector([width])], {
      shape: [width],
      type: types.float32,
    });
    operations.push(product, wide, handOver(sum, operation.outputs[0] as Value));
  }
  trace.operations.splice(0, trace.operations.length, ...operations);
}

/** With fewer numbers a pass over memory takes less time than the calls. */
const leastElements = 1 << 18;

/** 1 in bfloat16. */
const one: Value = {
  from: 'constant',
  shape: [],
  type: types.bfloat16,
  content: Uint8Array.of(0x80, 0x3f),
};

/** A constant of int32. */
function vector(numbers: number[]): Value {
  const content = new Uint8Array(Int32Array.from(numbers).buffer);
  return { from: 'constant', shape: [numbers.length], type: types.int32, content };
}
