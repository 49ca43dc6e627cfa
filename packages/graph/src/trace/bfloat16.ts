import {
  attributeKinds,
  type Binding,
  type BindingAttribute,
  executeOne,
  types,
} from '../native/binding.js';

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
 */
export function bfloat16Binding(binding: Binding): {
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
      casts.set(id, narrowed);
      owned.push(narrowed);
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
      const { id } = executeOne(
        binding,
        op,
        [...rest, typeAttribute('T', types.bfloat16)],
        inputs.map((input, place) => (narrowed.includes(place) ? narrow(input) : input)),
      );
      const result = cast(id, types.bfloat16, types.float32);
      casts.set(result.id, id);
      owned.push(id);
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

function typeAttribute(name: string, value: number): BindingAttribute {
  return { name, type: attributeKinds.type, value };
}
