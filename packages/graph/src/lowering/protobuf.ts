/**
 * Enough of the protocol-buffer wire format to write TensorFlow's graphs: a message is a list of
 * fields, and a field is a number with its content. TensorFlow's .proto files define the numbers.
 */

/** A message as its encoded fields, in memory that doubles when it is full. */
export class Message {
  private memory = Buffer.allocUnsafe(64);
  private length = 0;

  /** An integer, an enum or a bool. */
  varint(field: number, value: number | bigint): this {
    this.number(field << 3);
    this.number(value);
    return this;
  }

  /** A single-precision number. */
  float(field: number, value: number): this {
    this.number((field << 3) | 5);
    this.reserve(4);
    this.length = this.memory.writeFloatLE(value, this.length);
    return this;
  }

  /** A string, bytes, or a message. */
  bytes(field: number, value: string | Uint8Array | Message): this {
    const content =
      typeof value === 'string'
        ? Buffer.from(value)
        : value instanceof Message
          ? value.encode()
          : value;
    this.number((field << 3) | 2);
    this.number(content.length);
    this.reserve(content.length);
    this.memory.set(content, this.length);
    this.length += content.length;
    return this;
  }

  /** An entry of a map with string keys. */
  entry(field: number, key: string, value: string | Message): this {
    return this.bytes(field, new Message().bytes(1, key).bytes(2, value));
  }

  /** The bytes, in the message's own memory. */
  encode(): Uint8Array {
    return this.memory.subarray(0, this.length);
  }

  /** Seven bits per byte, lowest first; negative numbers in 64-bit two's complement. */
  private number(value: number | bigint): void {
    this.reserve(10);
    let rest = BigInt.asUintN(64, BigInt(value));
    do {
      const low = Number(rest & 127n);
      rest >>= 7n;
      this.memory[this.length++] = rest === 0n ? low : low | 128;
    } while (rest !== 0n);
  }

  private reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.memory.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.memory.length));
    this.memory.copy(larger, 0, 0, this.length);
    this.memory = larger;
  }
}
