import { types } from '../native/binding.js';
import type { Attribute, Operation, Value } from '../trace/operations.js';
import { type Argument, type Signature, signatureOf } from '../trace/signatures.js';

/** The attributes of an op, with those that eager execution infers from the arguments. */
export function completeAttributes(operation: Operation): Record<string, Attribute> {
  const attributes: Record<string, Attribute> = { ...operation.attributes };
  const signature = signatureOf(operation.op) as Signature;
  const infer = (args: Argument[], values: Value[]) => {
    let index = 0;
    for (const { typeAttribute, countAttribute } of args) {
      let taken = 1;
      if (countAttribute !== undefined) {
        // At most one argument is a list; all others are one tensor each.
        const others = args.filter((other) => other.countAttribute === undefined).length;
        taken = values.length - others;
        attributes[countAttribute] ??= { int: taken };
      }
      const value = values[index];
      if (typeAttribute !== undefined && value) attributes[typeAttribute] ??= { type: value.type };
      index += taken;
    }
  };
  infer(signature.inputs, operation.inputs.map(asArgument(operation)));
  if (operation.writes === 0) infer(signature.outputs, operation.outputs);
  return attributes;
}

/** Variables that are written into are passed as resources, whatever their element type. */
function asArgument(operation: Operation): (value: Value, index: number) => Value {
  return (value, index) => (index < operation.writes ? { ...value, type: types.resource } : value);
}
