import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../api/report.js';

/** The anchors that GitHub gives to the headings of a page. */
function anchorsOf(page: string): Set<string> {
  const headings = page.replace(/^```.*?^```/gms, '').matchAll(/^#{1,6} (.*)$/gm);
  return new Set(
    [...headings].map(([, title = '']) =>
      title
        .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** The relative links of a page that lead nowhere. */
function brokenLinks(file: string): string[] {
  const page = fs.readFileSync(file, 'utf8').replace(/^```.*?^```/gms, '');
  const links = [...page.matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].map(
    ([, link = '']) => link,
  );
  return links.filter((link) => {
    const [target = '', anchor] = link.split('#');
    const place = target === '' ? file : path.resolve(path.dirname(file), decodeURI(target));
    if (!fs.existsSync(place)) return true;
    if (anchor === undefined || !place.endsWith('.md')) return false;
    return !anchorsOf(fs.readFileSync(place, 'utf8')).has(anchor);
  });
}

const pages = execFileSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n');

test.each(pages)('every relative link of %s leads somewhere', (page) => {
  expect(brokenLinks(path.join(root, page))).toEqual([]);
});

test('the README fits on a page', () => {
  // Each CUDA device that was measured adds a sentence (`gpuSentences`).
  const text = fs
    .readFileSync(path.join(root, 'README.md'), 'utf8')
    .replace(/^\nOn .*\(results\/README\.md#on-a-gpu\)\)\.\n/gm, '');
  expect(text.split('\n').length).toBeLessThanOrEqual(150);
  expect(text.split(/\s+/).length).toBeLessThanOrEqual(1300);
});
