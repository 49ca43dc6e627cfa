/**
 * Enough of the protocol-buffer wire format to write TensorFlow's graphs: a message is a list of
 * fields, a field a number and its content. Field numbers are those of TensorFlow's .proto files.
 */

/** The encoded fields of a message, in pieces that are joined once at the end. */
export class Message {
  private readonly pieces: Uint8Array[] = [];
  private length = 0;

  /** An integer, an enum or a bool. */
  varint(field: number, value: number | bigint): this {
    return this.push(varint(BigInt(field) << 3n), varint(BigInt(value)));
  }

  /** A single-precision number. */
  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.push(varint((BigInt(field) << 3n) | 5n), bytes);
  }

  /** A string, bytes, or a message. */
  bytes(field: number, value: string | Uint8Array | Message): this {
    const content =
      typeof value === 'string' ? Buffer.from(value) : value instanceof Message ? undefined : value;
    const key = varint((BigInt(field) << 3n) | 2n);
    if (content) return this.push(key, varint(BigInt(content.length)), content);
    const message = value as Message;
    this.push(key, varint(BigInt(message.length)));
    for (const piece of message.pieces) this.push(piece);
    return this;
  }

  /** An entry of a map with string keys. */
  entry(field: number, key: string, value: string | Message): this {
    return this.bytes(field, new Message().bytes(1, key).bytes(2, value));
  }

  encode(): Uint8Array {
    return Buffer.concat(this.pieces, this.length);
  }

  private push(...pieces: Uint8Array[]): this {
    for (const piece of pieces) {
      this.pieces.push(piece);
      this.length += piece.length;
    }
    return this;
  }
}

/** Seven bits a byte, lowest first; negative numbers in 64-bit two's complement. */
function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 128);
  } while (rest !== 0n);
  return Uint8Array.from(bytes);
}
