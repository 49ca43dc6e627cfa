import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import {
  framesOf,
  parseMessage,
  Reader,
  toCodePoints,
  toUnits,
  Writer,
} from '../../src/front/wire.js';

const signature = { key: 'secret', scheme: 'hmac-sha256' };
const message = new Writer().message('x_request', { a: 1 }, { identities: [Buffer.from('me')] });

test('a message survives the wire, with and without a key', () => {
  for (const way of [signature, { key: '', scheme: 'hmac-sha256' }]) {
    expect(parseMessage(framesOf(message, way), way)).toEqual(message);
  }
});

test('frames that are no message, and a wrong signature, are refused', () => {
  const frames = framesOf(message, signature);
  expect(() => parseMessage(frames, { ...signature, key: 'other' })).toThrow('wrong signature');
  expect(() => parseMessage(frames.slice(0, 4), signature)).toThrow('A message of 4 frames');
  expect(() => parseMessage([Buffer.from('x')], signature)).toThrow('A message of 1 frames');
});

test('a message that comes again is refused, and a part that is no object', () => {
  const reader = new Reader(signature);
  const frames = framesOf(message, signature);
  expect(reader.read(frames)).toEqual(message);
  expect(() => reader.read(frames)).toThrow('that had come before');
  expect(reader.read(framesOf({ ...message, content: { b: 2 } }, signature)).content.b).toBe(2);
  for (const content of [null, 'text', [1]]) {
    const strange = framesOf({ ...message, content: content as never }, signature);
    expect(() => reader.read(strange)).toThrow('no object');
  }
  const nameless = { ...message, header: { ...message.header, msg_type: 3 as never } };
  expect(() => reader.read(framesOf(nameless, signature))).toThrow('without the text msg_type');
});

/** Numbers that look drawn, each from 0 to below a limit, the same for the same seed. */
function drawer(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    return ((state ^ (state >>> 16)) >>> 0) % Math.max(1, limit);
  };
}

const words = ['null', '[]', '{}', '-1', '1e999', '"x"', `${'['.repeat(500)}${']'.repeat(500)}`];

/** Frames with one or two damages, by its number. */
function damaged(frames: readonly Buffer[], number: number): Buffer[] {
  const draw = drawer(number + 1);
  const changed = frames.map((frame) => Buffer.from(frame));
  for (let time = draw(2); time < 2; time++) {
    const at = draw(changed.length);
    const frame = changed[at] ?? Buffer.alloc(0);
    const kinds = [
      () => frame.length > 0 && frame.writeUInt8(draw(256), draw(frame.length)),
      () => changed.splice(at, 1, frame.subarray(0, draw(frame.length))),
      () => changed.splice(at, 1),
      () => changed.splice(draw(changed.length), 0, frame),
      () => changed.push(...changed.splice(0, at)),
      () => {
        const found = [...frame.toString('latin1').matchAll(/"[^"]*"|\d+/g)];
        const { index = 0, 0: word = '' } = found[draw(found.length)] ?? {};
        const after = frame.subarray(index + word.length);
        const other = Buffer.from(words[draw(words.length)]!);
        changed.splice(at, 1, Buffer.concat([frame.subarray(0, index), other, after]));
      },
    ];
    kinds[draw(kinds.length)]!();
  }
  return changed;
}

const damages = process.env.TARFLOW_NIGHTLY ? 100_000 : 5000;

test('damaged frames without signatures are read as they are, or refused by name', () => {
  const open = { key: '', scheme: 'hmac-sha256' };
  const frames = framesOf(message, open);
  const outcomes = { read: 0, refused: 0 };
  for (let i = 0; i < damages; i++) {
    const changed = damaged(frames, i);
    try {
      const { identities, header, parent, metadata, content } = parseMessage(changed, open);
      const said = changed.slice(identities.length + 2).map(String);
      for (const [at, part] of [header, parent, metadata, content].entries()) {
        expect(isDeepStrictEqual(part, JSON.parse(said[at]!)), `input ${i}`).toBe(true);
      }
      expect([typeof header.msg_id, typeof header.msg_type]).toEqual(['string', 'string']);
      outcomes.read++;
    } catch (error) {
      expect((error as Error).message, `input ${i}`).toMatch(/^A message (of \d+ frames )?came/);
      outcomes.refused++;
    }
  }
  expect(outcomes.read).toBeGreaterThan(damages / 20);
  expect(outcomes.refused).toBeGreaterThan(damages / 10);
});

test('damaged frames with a signature never say anything else', () => {
  const frames = framesOf(message, signature);
  for (let i = 0; i < damages; i++) {
    try {
      const { identities: _, ...read } = parseMessage(damaged(frames, i), signature);
      const { identities: __, ...right } = message;
      expect(isDeepStrictEqual(read, right), `input ${i}`).toBe(true);
    } catch (error) {
      expect((error as Error).message, `input ${i}`).toMatch(/^A message (of \d+ frames )?came/);
    }
  }
});

test('positions pass between code points and UTF-16 units', () => {
  const code = 'a😀b';
  expect([0, 1, 2, 3, 9].map((position) => toUnits(code, position))).toEqual([0, 1, 3, 4, 4]);
  expect([0, 1, 3, 4].map((position) => toCodePoints(code, position))).toEqual([0, 1, 2, 3]);
});
