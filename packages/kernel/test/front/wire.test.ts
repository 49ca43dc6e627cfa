import { expect, test } from 'vitest';
import { framesOf, parseMessage, toCodePoints, toUnits, Writer } from '../../src/front/wire.js';

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

test('positions pass between code points and UTF-16 units', () => {
  const code = 'a😀b';
  expect([0, 1, 2, 3, 9].map((position) => toUnits(code, position))).toEqual([0, 1, 3, 4, 4]);
  expect([0, 1, 3, 4].map((position) => toCodePoints(code, position))).toEqual([0, 1, 2, 3]);
});
