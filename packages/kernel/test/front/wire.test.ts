import { expect, test } from 'vitest';
import { framesOf, parseMessage, Writer } from '../../src/front/wire.js';

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
