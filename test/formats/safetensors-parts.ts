import { sumsName } from '../../src/formats/safetensors-header.js';

/** A safetensors file as other libraries write it, without sums: damage in it is not found by them. */
export function withoutSums(bytes: Uint8Array): Buffer {
  const start = 8 + Number(Buffer.from(bytes).readBigUInt64LE());
  const header = JSON.parse(Buffer.from(bytes.subarray(8, start)).toString());
  delete header.__metadata__[sumsName];
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, bytes.subarray(start)]);
}
