import { readdirSync } from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../../src/core/errors.js';
import { packageRoot } from '../../../src/core/package-root.js';
import { claims } from '../../../workbook/claims/claims.js';
import { ofTrainings, ours, sentence } from '../../../workbook/claims/paper-claim.js';
import { published } from '../../../workbook/papers/index.js';
import { readClaim } from '../../../workbook/records/claim.js';
import { markdownTable, oursText, publishedText } from '../../../workbook/report/markdown.js';
import { generatedPages, withPart } from '../../../workbook/report/pages.js';
import { notebookTable, summaryTable } from '../../../workbook/report/results.js';

describe('pages with generated parts', () => {
  test('say what workbook/papers and results/ say', async () => {
    for (const { file, present, generated } of await generatedPages()) {
      const remedy = `${file} is out of date: run \`node data-scripts/results.mjs\``;
      expect(present === generated, remedy).toBe(true);
    }
  });

  test('keep what stands around a part', () => {
    const page =
      'a\n<!-- one:begin -->\nold\n<!-- one:end -->\nb <!-- two:begin --><!-- two:end -->';
    const replaced = withPart(page, 'one', 'new $& text', 'PAGE');
    expect(replaced).toBe(
      'a\n<!-- one:begin -->\nnew $& text\n<!-- one:end -->\nb <!-- two:begin --><!-- two:end -->',
    );
    expect(withPart(replaced, 'one', 'new $& text', 'PAGE')).toBe(replaced);
  });

  test.each([
    ['', 'neither'],
    ['<!-- one:begin -->', 'no end'],
    ['<!-- one:end --><!-- one:begin -->', 'in the wrong order'],
    ['<!-- one:begin --><!-- one:end --><!-- one:begin --><!-- one:end -->', 'twice'],
  ])('a page with the marks %s is refused (%s)', (page) => {
    expect(() => withPart(page, 'one', '', 'PAGE')).toThrow(UserError);
    expect(() => withPart(page, 'one', '', 'PAGE')).toThrow(/PAGE has no place for 'one'/);
  });
});

describe('text', () => {
  test('a table is Markdown, whatever its cells hold', () => {
    expect(
      markdownTable([
        { a: 'p(x|y)', b: '1' },
        { a: 'q', c: '2' },
      ]),
    ).toBe('| a | b | c |\n| --- | --- | --- |\n| p(x\\|y) | 1 |  |\n| q |  | 2 |');
  });

  test('has the figures that its references name', async () => {
    const [id, name] = ['denoising', 'share of the noise’s power removed'] as const;
    const value = (await readClaim(id))?.figures[name];
    if (value === undefined) throw new Error(name);
    expect(await oursText(sentence`a ${ours(id, name, { percent: true, decimals: 1 })} b`)).toBe(
      `a ${(100 * value).toFixed(1)} % b`,
    );
    expect(await oursText(sentence`${ours(id, name, { decimals: 2 })}`)).toBe(value.toFixed(2));
    const quality = ours('sample-quality', 'FD, real: test images', {
      decimals: 0,
      error: true,
    });
    // An error of 0.12 is not shown as zero.
    expect(await oursText(sentence`${quality}`)).toMatch(/^0\.\d ± 0\.\d$/);
    const oneCost = ofTrainings('likelihood-at-one-cost', 'MAF', 'bits per dimension', 3);
    expect(await oursText(sentence`${oneCost}`)).toMatch(/^3\.\d{3} ± 0\.\d{3}$/);
    const once = ours('bits-per-dimension', 'images', { error: true });
    await expect(oursText(sentence`${once}`)).rejects.toThrow(/no standard error of 'images'/);
    // @ts-expect-error A misspelt figure does not compile.
    await expect(oursText(sentence`${ours(id, 'none')}`)).rejects.toThrow(/no figure 'none'/);
    const glow = published('likelihood', 'Glow', 'bits per dimension');
    expect(publishedText(sentence`Glow: ${glow}`)).toBe('Glow: 3.81');
    const remembered = published(
      'likelihood-fashion-mnist',
      'Glow on Fashion-MNIST test',
      'bits per dimension',
    );
    expect(publishedText(sentence`${remembered}`)).toContain('(from memory)');
    expect(() => publishedText(sentence`${published('likelihood', 'Glow', 'FID')}`)).toThrow(/FID/);
  });
});

test('the summary has a verdict of at most eight words for every claim', async () => {
  const lines = (await summaryTable()).split('\n').filter((line) => line.startsWith('|'));
  expect(lines[0]).toBe('| claim | verdict |');
  for (const line of lines.slice(2)) {
    const verdict = line.split(' | ')[1]?.replace(' |', '') ?? '';
    expect(verdict.split(' ').length).toBeLessThanOrEqual(8);
    expect(verdict).not.toBe('');
  }
});

test('the summary names each claim once', async () => {
  const summary = await summaryTable();
  for (const { id, title } of claims) {
    expect(summary.split(`${id} ${title}`)).toHaveLength(2);
  }
});

test('the table of notebooks has each notebook, and the claims that it measures', async () => {
  const lines = (await notebookTable()).split('\n').slice(2);
  const all = readdirSync(path.join(packageRoot(), 'notebooks'), { recursive: true });
  const files = all.map(String).filter((file) => /^reports\/[^./]+\.ipynb$/.test(file));
  expect(lines.map((line) => /notebooks\/(.*?)\)/.exec(line)?.[1])).toEqual(files.sort());
  const claimsIn = (number: string) =>
    lines.find((line) => line.startsWith(`| [${number}]`))?.split(' | ')[2];
  expect(claimsIn('report 5')).toBe('Table 3, T2, T3');
  expect(claimsIn('report 3')).toBe('T3, L3, P2');
});
