import {
  attributeKinds,
  type Binding,
  type BindingAttribute,
  executeOne,
  types,
} from '../native/binding.js';

/** What {@link roundsProducts} found: a process has one engine. */
let rounding: boolean | undefined;

/** Ops that multiply matrices or convolve, and which of their inputs are factors. */
const factors = new Map([
  ['MatMul', [0, 1]],
  ['BatchMatMulV2', [0, 1]],
  ['Conv2D', [0, 1]],
  // The other input is the shape of the result.
  ['Conv2DBackpropInput', [1, 2]],
  ['Conv2DBackpropFilter', [0, 2]],
]);

/**
 * A binding in which float32 matrix products and convolutions take bfloat16 arguments: 8 bits of
 * mantissa in, float32 accumulation inside, and a result that is rounded to bfloat16 and returned as
 * float32. All other ops stay in float32. A tensor is cast once, however many products take it, and a product
 * that takes the result of another takes it without casts in between.
 *
 * `release` frees the bfloat16 tensors; call it when the tensors made meanwhile are no longer used.
 * `apart` calls a function, such as the body of a loop, whose casts must not be used outside of it.
 *
 * @param rounds false where products of bfloat16 factors cut their result off ({@link roundsProducts}): then the
 *   rounded factors are multiplied in float32, and the result is rounded here
 */
export function bfloat16Binding(
  binding: Binding,
  rounds: boolean,
): {
  executeOp: Binding['executeOp'];
  apart<R>(f: () => R): R;
  release(): void;
} {
  let casts = new Map<number, number>();
  const owned: number[] = [];

  const cast = (id: number, from: number, to: number) => {
    const attributes = [typeAttribute('SrcT', from), typeAttribute('DstT', to)];
    return executeOne(binding, 'Cast', attributes, [id]);
  };
  const narrow = (id: number) => {
    let narrowed = casts.get(id);
    if (narrowed === undefined) {
      narrowed = cast(id, types.float32, types.bfloat16).id;
      owned.push(narrowed);
      if (!rounds) {
        narrowed = cast(narrowed, types.bfloat16, types.float32).id;
        owned.push(narrowed);
      }
      casts.set(id, narrowed);
    }
    return narrowed;
  };

  return {
    executeOp(op, attributes, inputs, outputs) {
      const type = attributes.find((attribute) => attribute.name === 'T')?.value;
      const narrowed = factors.get(op);
      if (!narrowed || type !== types.float32) {
        return binding.executeOp(op, attributes, inputs, outputs);
      }
      const rest = attributes.filter((attribute) => attribute.name !== 'T');
      let { id } = executeOne(
        binding,
        op,
        [...rest, typeAttribute('T', rounds ? types.bfloat16 : types.float32)],
        inputs.map((input, place) => (narrowed.includes(place) ? narrow(input) : input)),
      );
      owned.push(id);
      if (!rounds) {
        id = cast(id, types.float32, types.bfloat16).id;
        owned.push(id);
      }
      const result = cast(id, types.bfloat16, types.float32);
      casts.set(result.id, rounds ? id : result.id);
      return [result];
    },
    apart(f) {
      const outside = casts;
      casts = new Map(outside);
      try {
        return f();
      } finally {
        casts = outside;
      }
    },
    release() {
      for (const id of owned.splice(0)) binding.deleteTensor(id);
      casts.clear();
    },
  };
}

/**
 * True where a product of bfloat16 factors is rounded to the nearest number. TensorFlow cuts it off on a processor
 * for which oneDNN has no bfloat16 (without AVX-512): every product then comes out a little too small.
 *
 * @param binding of the engine itself, which computes at once
 */
export function roundsProducts(binding: Binding): boolean {
  rounding ??= findRounding(binding);
  return rounding;
}

function findRounding(binding: Binding): boolean {
  const { executeOp, release } = bfloat16Binding(binding, true);
  const factors = [1.75, 1.0078125].map((value) =>
    binding.createTensor([1, 1], types.float32, Float32Array.of(value)),
  );
  const attributes = [
    { name: 'transpose_a', type: attributeKinds.bool, value: false },
    { name: 'transpose_b', type: attributeKinds.bool, value: false },
    typeAttribute('T', types.float32),
  ];
  const { id } = executeOne({ executeOp }, 'MatMul', attributes, factors);
  // 1.763671875 lies between two bfloat16 numbers, 1.7578125 and the nearer 1.765625.
  const rounded = binding.tensorDataSync(id)[0] === 1.765625;
  release();
  for (const made of [...factors, id]) binding.deleteTensor(made);
  return rounded;
}

function typeAttribute(name: string, value: number): BindingAttribute {
  return { name, type: attributeKinds.type, value };
}
