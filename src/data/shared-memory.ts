/** The same numbers in memory that threads share; the array itself where it lies there already. */
export function shared<A extends Uint8Array | Int32Array | Float32Array | Float64Array>(
  array: A,
): A {
  if (array.buffer instanceof SharedArrayBuffer) return array;
  const kind = array.constructor as new (buffer: SharedArrayBuffer) => A;
  const copy = new kind(new SharedArrayBuffer(array.byteLength));
  copy.set(array);
  return copy;
}

/** Many texts in memory that threads share: a million paths are not cloned. */
export interface SharedTexts {
  /** All texts in UTF-8, one after the other. */
  bytes: Uint8Array;
  /** Where each text ends. */
  ends: Uint32Array;
}

export function sharedTexts(texts: readonly string[]): SharedTexts {
  const lengths = texts.map((text) => Buffer.byteLength(text));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const bytes = new Uint8Array(new SharedArrayBuffer(total));
  const ends = new Uint32Array(new SharedArrayBuffer(4 * texts.length));
  let end = 0;
  texts.forEach((text, i) => {
    bytes.set(Buffer.from(text), end);
    end += lengths[i]!;
    ends[i] = end;
  });
  return { bytes, ends };
}

export function textAt({ bytes, ends }: SharedTexts, index: number): string {
  const begin = index === 0 ? 0 : ends[index - 1]!;
  return Buffer.from(bytes.subarray(begin, ends[index])).toString();
}
