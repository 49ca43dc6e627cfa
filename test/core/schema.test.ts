import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { nearestName, UserError } from '../../src/core/errors.js';
import { checkedJson, checkedValue } from '../../src/core/schema.js';

describe('the nearest name', () => {
  const names = ['channels', 'classes', 'blocks', 'layersPerBlock', 'headWidth'];
  test.each([
    ['chanels', 'channels'],
    ['lcasses', 'classes'],
    ['BLOCK', 'blocks'],
    ['layers', 'layersPerBlock'],
    ['perBlock', 'layersPerBlock'],
    ['blocks', 'blocks'],
    ['headwith', 'headWidth'],
  ])('%s: %s', (name, nearest) => expect(nearestName(name, names)).toBe(nearest));

  test('a swap of neighbours is one edit, and the first of the nearest wins', () => {
    expect(nearestName('ab', ['cb', 'ba', 'abc'])).toBe('cb');
    expect(nearestName('abcd', ['abxy', 'badc', 'badcx'])).toBe('abxy');
    expect(nearestName('abcd', ['axyd', 'bacd'])).toBe('bacd');
  });

  test('what follows a colon is not compared, where there is one', () => {
    expect(nearestName('foldr:/home/me/mypics', ['fashion-mnist', 'folder:PATH'])).toBe(
      'folder:PATH',
    );
  });

  test('there may be none', () => expect(nearestName('a', [])).toBeUndefined());

  test('what is far away was not meant', () => {
    expect(nearestName('nope', ['sizes', 'likelihood'])).toBeUndefined();
    expect(nearestName('nope', ['sizes', 'note'])).toBe('note');
  });
});

describe('a value is checked by a schema', () => {
  const schema = z.strictObject({
    image: z.strictObject({ channels: z.number(), height: z.number() }),
    blocks: z.number().default(4),
    background: z.union([z.literal(0), z.literal(255)]).optional(),
    noise: z
      .discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('gaussian'), sigma: z.number().positive() }),
        z.strictObject({ kind: z.literal('uniform'), levels: z.number().optional() }),
      ])
      .optional(),
    stages: z.array(z.strictObject({ width: z.number() })).optional(),
  });
  const image = { channels: 1, height: 4 };

  test('and comes back with its defaults', () => {
    expect(checkedValue(schema, { image }, 'a.json', 'Mend it')).toEqual({ image, blocks: 4 });
    expect(checkedJson(schema, JSON.stringify({ image, blocks: 2 }), 'a', 'b').blocks).toBe(2);
  });

  const wrong: [string, unknown, string][] = [
    [
      'an unknown key, before what is missing for it',
      { image: { chanels: 1, height: 4 } },
      'a.json has the key image.chanels, which is unknown here. ' +
        'The nearest one is image.channels; known are image.channels, image.height.',
    ],
    [
      'an unknown key of the kind that came',
      { image, noise: { kind: 'gaussian', sigms: 1 } },
      'a.json has the key noise.sigms, which is unknown here. ' +
        'The nearest one is noise.sigma; known are noise.kind, noise.sigma.',
    ],
    [
      'an unknown key in a list',
      { image, stages: [{ width: 1 }, { widht: 2 }] },
      'a.json has the key stages.1.widht, which is unknown here. ' +
        'The nearest one is stages.1.width; known are stages.1.width.',
    ],
    [
      'a value of another type',
      { image: { channels: 'one', height: 4 } },
      'a.json does not fit: image.channels is "one" ' + '(expected number). Mend it.',
    ],
    [
      'a value that is none of several',
      { image, background: 7 },
      'a.json does not fit: background is 7 ' + '(expected 0; or expected 255). Mend it.',
    ],
    [
      'a missing value',
      { blocks: 3 },
      'a.json does not fit: image is missing ' +
        '(expected an object with channels, height). Mend it.',
    ],
    ['something else altogether', [], 'a.json does not fit: it is [] (expected object). Mend it.'],
  ];
  test.each(wrong)('%s', (_, value, message) => {
    const check = () => checkedValue(schema, value, 'a.json', 'Mend it');
    expect(check).toThrow(UserError);
    expect(check).toThrow(message);
  });

  test('a text that is not JSON is named', () => {
    expect(() => checkedJson(schema, '{"image"', 'a.json', 'Mend it')).toThrow(
      /^a\.json is not JSON \(.+\)\. Mend it\.$/,
    );
  });
});
