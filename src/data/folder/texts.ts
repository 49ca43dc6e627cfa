/** Many texts in memory that threads share: a million paths are not cloned. */
export interface Texts {
  /** All texts in UTF-8, one after the other. */
  bytes: Uint8Array;
  /** Where each text ends. */
  ends: Uint32Array;
}

export function sharedTexts(texts: readonly string[]): Texts {
  const lengths = texts.map((text) => Buffer.byteLength(text));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const bytes = new Uint8Array(new SharedArrayBuffer(total));
  const ends = new Uint32Array(new SharedArrayBuffer(4 * texts.length));
  let end = 0;
  texts.forEach((text, i) => {
    bytes.set(Buffer.from(text), end);
    end += lengths[i] as number;
    ends[i] = end;
  });
  return { bytes, ends };
}

export function textAt({ bytes, ends }: Texts, index: number): string {
  const begin = index === 0 ? 0 : (ends[index - 1] as number);
  return Buffer.from(bytes.subarray(begin, ends[index])).toString();
}
