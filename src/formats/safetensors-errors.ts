import { UserError } from '../core/errors.js';

/** Bytes of a file are wrong. */
export class DamagedFile extends UserError {}
/** The header claims more than 100 MB, the limit of the reference implementation. */
export class HeaderTooLarge extends DamagedFile {}
/** The header is not the JSON that the format asks for. */
export class InvalidHeader extends DamagedFile {}
/** A tensor's bytes do not fit its shape, or leave a part of the file unclaimed. */
export class InvalidOffsets extends DamagedFile {}
/** Two tensors claim the same bytes. */
export class TensorOverlap extends DamagedFile {}
/** The file ends before its header or its tensors do. */
export class TruncatedFile extends DamagedFile {}
/** Bytes are not those that were written, by their CRC-32. */
export class OtherBytes extends DamagedFile {
  constructor(what: string) {
    super(
      `${what} has other bytes than were written (its CRC-32 differs)`,
      'The file is damaged; take it anew',
    );
  }
}
/** A tensor's element type is one that is not read here. */
export class UnsupportedDtype extends UserError {}
/** A tensor or a metadata entry that cannot be written as it is. */
export class InvalidTensor extends UserError {}
/** A 64-bit integer that a double cannot hold exactly. */
export class InexactInteger extends UserError {}
/** A tensor was asked for that the file does not have. */
export class MissingTensor extends UserError {
  /** @param names of the tensors that there are */
  constructor(path: string, name: string, names: readonly string[]) {
    super(
      `${path} has no tensor '${name}'`,
      `It has ${names.length}: ${names.slice(0, 5).join(', ')} …`,
    );
  }
}

/** A finite number that the type in which it is to be stored has not. */
export class Overflow extends UserError {}
