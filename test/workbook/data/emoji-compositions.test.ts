import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { cacheFolder } from '../../../src/core/cache-folder.js';
import {
  emojiName,
  heldOutNames,
  isComposed,
  nameWords,
} from '../../../workbook/data/emoji-names.js';
import { composedNames, namesOfEmoji } from './composed-names.js';

describe('names of emoji', () => {
  test.each([
    ['2764-FE0F', 'red heart'],
    ['2764', 'red heart'],
    ['1F63F', 'crying cat'],
    ['1F469-200D-1F680', 'woman astronaut'],
    ['1F1F3-1F1F4', 'flag Norway'],
    ['41', undefined],
    ['FFFFFFFF', undefined],
  ])('%s is %s', (code, name) => {
    expect(emojiName(code)).toBe(name);
  });
});

describe('the rule of compositions', () => {
  test('takes with a name all that have its words', () => {
    expect(isComposed('man running facing right', ['man running'])).toBe(true);
    expect(isComposed('Man Running (dark skin tone)', ['man running'])).toBe(true);
    expect(isComposed('woman running', ['man running'])).toBe(false);
    expect(nameWords('woman’s hat: top-hat (2)')).toEqual(['woman’s', 'hat', 'top-hat', '2']);
  });

  test('gives at least 20 names, each of an emoji', () => {
    expect(heldOutNames.length).toBeGreaterThanOrEqual(20);
    expect(heldOutNames).toEqual(expect.arrayContaining(['red heart', 'crying cat']));
    const listed: Record<string, { name: string }> =
      createRequire(__filename)('unicode-emoji-json');
    const names = new Set(Object.values(listed).map(({ name }) => name));
    expect(heldOutNames.filter((name) => !names.has(name))).toEqual([]);
  });
});

const present = fs.existsSync(path.join(cacheFolder(), 'data', 'emoji', 'complete.json'));
const hint = present ? '' : ' (skipped, not in the cache: run `npx tarflow data emoji`)';

describe.skipIf(!present)(`the published emoji${hint}`, () => {
  test('have the held-out names that the rule gives', async () => {
    const { all, trained } = await namesOfEmoji();
    expect(heldOutNames).toEqual(composedNames(all, trained));
  });
});
