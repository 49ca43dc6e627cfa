import { describe, expect, test, vi } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import { checkSameLatents } from '../../../src/data/latents/same-latents.js';
import type { LatentFacts } from '../../../src/data/source.js';

const remedy = { scale: 'Take that scale', autoencoder: 'Take that autoencoder' };

function compared(one: LatentFacts | undefined, other: LatentFacts | undefined): () => void {
  return () =>
    checkSameLatents(
      { which: 'The latents here', latents: one },
      { which: 'The others', latents: other },
      remedy,
    );
}

describe('two sets of latents', () => {
  test.each<[string, LatentFacts | undefined, LatentFacts | undefined]>([
    ['equal', { scale: 0.4, autoencoder: 'abc' }, { scale: 0.4, autoencoder: 'abc' }],
    ['nothing said', undefined, { scale: 2 }],
    ['each says another thing', { scale: 2 }, { autoencoder: 'abc' }],
    ['scales apart by rounding', { scale: 0.38969424 }, { scale: 0.38969431 }],
  ])('go together: %s', (_, one, other) => {
    expect(compared(one, other)).not.toThrow();
    expect(compared(other, one)).not.toThrow();
  });

  test.each<[string, LatentFacts, LatentFacts, string]>([
    [
      'another scale',
      { scale: 0.38969424 },
      { scale: 1 },
      'The latents here were multiplied by 0.3897, the others by 1. Take that scale',
    ],
    [
      'a scale that is near',
      { scale: 0.38969424 },
      { scale: 0.389745 },
      'The latents here were multiplied by 0.38969424, the others by 0.389745. Take that scale',
    ],
    [
      'another autoencoder, of the same scale',
      { scale: 2, autoencoder: '67a0f22fa97ade5e' },
      { scale: 2, autoencoder: '5ede6dcf8ca03d98' },
      'The latents here were made by the autoencoder of SHA-256 67a0f22fa97a…, the others by that of ' +
        '5ede6dcf8ca0…. Take that autoencoder',
    ],
  ])('do not: %s', (_, one, other, message) => {
    expect(compared(one, other)).toThrow(UserError);
    expect(compared(one, other)).toThrow(message);
  });

  test('by another autoencoder are a warning where there is no remedy', () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const [mine, yours] = [
      { scale: 2, autoencoder: 'abc' },
      { scale: 2, autoencoder: 'def' },
    ];
    const check = (latents: LatentFacts) =>
      checkSameLatents(
        { which: 'The latents here', latents: mine },
        { which: 'The others', latents },
        { scale: 'Take that scale' },
      );
    check(mine);
    expect(warn).not.toHaveBeenCalled();
    check(yours);
    expect(warn.mock.calls[0]?.[0]).toMatch(/SHA-256 abc, the others by that of def: .* decoder/);
    expect(() => check({ scale: 1, autoencoder: 'def' })).toThrow(/Take that scale/);
    warn.mockRestore();
  });
});
