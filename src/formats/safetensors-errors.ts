import { UserError } from '../core/errors.js';

/** The header claims more than 100 MB, the limit of the reference implementation. */
export class HeaderTooLarge extends UserError {
  override readonly name = 'HeaderTooLarge';
}
/** The header is not the JSON that the format asks for. */
export class InvalidHeader extends UserError {
  override readonly name = 'InvalidHeader';
}
/** A tensor's bytes do not fit its shape, or leave a part of the file unclaimed. */
export class InvalidOffsets extends UserError {
  override readonly name = 'InvalidOffsets';
}
/** Two tensors claim the same bytes. */
export class TensorOverlap extends UserError {
  override readonly name = 'TensorOverlap';
}
/** The file ends before its header or its tensors do. */
export class TruncatedFile extends UserError {
  override readonly name = 'TruncatedFile';
}
/** A tensor's element type is one that is not read here. */
export class UnsupportedDtype extends UserError {
  override readonly name = 'UnsupportedDtype';
}
/** A tensor or a metadata entry that cannot be written as it is. */
export class InvalidTensor extends UserError {
  override readonly name = 'InvalidTensor';
}
/** A 64-bit integer that a double cannot hold exactly. */
export class InexactInteger extends UserError {
  override readonly name = 'InexactInteger';
}
/** A tensor was asked for that the file does not have. */
export class MissingTensor extends UserError {
  override readonly name = 'MissingTensor';

  /** @param names of the tensors that there are */
  constructor(path: string, name: string, names: readonly string[]) {
    super(
      `${path} has no tensor '${name}'`,
      `It has ${names.length}: ${names.slice(0, 5).join(', ')} …`,
    );
  }
}

/** A finite number that the type in which it is to be stored has not. */
export class Overflow extends UserError {
  override readonly name = 'Overflow';
}

/** Rows that a tensor does not have. */
export function missingRows(
  path: string,
  name: string,
  { first, count }: { first: number; count: number },
  shape: readonly number[],
): RangeError {
  return new RangeError(
    `Rows ${first} to ${first + count} of tensor '${name}' in ${path} were asked for. Its shape is (${shape}): expected rows within 0 to ${shape[0] ?? 0}.`,
  );
}
