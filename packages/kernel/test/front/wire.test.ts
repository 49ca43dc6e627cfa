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

test('frames with any bytes changed are read rightly or refused', () => {
  const open = { key: '', scheme: 'hmac-sha256' };
  const frames = framesOf(message, open);
  for (let trial = 0; trial < 3000; trial++) {
    const changed = frames.map((frame) => Buffer.from(frame));
    const frame = changed[trial % changed.length]!;
    if (frame.length > 0) frame[(trial * 7919) % frame.length] = (trial * 104_729) % 256;
    try {
      const read = parseMessage(changed, open);
      expect(typeof read.header.msg_type).toBe('string');
      expect(typeof read.content).toBe('object');
    } catch (error) {
      expect((error as Error).message).toMatch(/message|JSON|token|Expected|position/i);
    }
  }
});

test('positions pass between code points and UTF-16 units', () => {
  const code = 'a😀b';
  expect([0, 1, 2, 3, 9].map((position) => toUnits(code, position))).toEqual([0, 1, 3, 4, 4]);
  expect([0, 1, 3, 4].map((position) => toCodePoints(code, position))).toEqual([0, 1, 2, 3]);
});
