import { afterEach, expect, test } from 'vitest';
import { lineChart } from '../../../workbook/charts/builders.js';
import { showSlider } from '../../../workbook/course/slider.js';
import { leaveNotebook, pretendNotebook } from '../kernel.js';

afterEach(leaveNotebook);

test('a slider has every frame in its page, and the middle one as its picture', async () => {
  const outputs = pretendNotebook();
  const chart = (end: number) =>
    lineChart({
      title: 'A line',
      rows: [
        { x: 0, y: 0 },
        { x: 1, y: end },
      ],
      x: 'x',
      y: 'y',
    });
  const frames = [1, 2, 3].map((at) => ({ at, picture: chart(at) }));
  await showSlider({ label: 'end & more', frames, alt: 'A line that rises' });
  const [{ data, metadata }] = outputs as [(typeof outputs)[number]];
  const html = `${data['text/html']}`;
  expect(html.match(/<img [^>]*display: none/g)).toHaveLength(2);
  const [, shown] = /base64,([^"]+)" alt="([^"]+)" style="display: block/.exec(html) ?? [];
  expect(data['image/png']).toBe(shown);
  expect(html).toContain('end &amp; more');
  expect(html).toContain('data-at="1|2|3"');
  expect(metadata['image/png']).toMatchObject({ alt: 'A line that rises (end & more 2)' });
  expect(data['text/plain']).toBe('[slider] A line that rises (end & more 2)');
});

test('a slider without frames is refused', async () => {
  await expect(showSlider({ label: 'σ', frames: [], alt: '' })).rejects.toThrow('has no frames');
});
