import { UserError } from '../../src/core/errors.js';
import { display } from '../../src/show/display.js';
import { escapeXml } from '../../src/show/sharp.js';
import { type ChartSpec, renderChart } from '../charts/chart.js';
import { quick } from '../records/results-folder.js';

/** Pictures of which a slider shows one. */
export interface Slider {
  /** What the slider moves, for example 'σ'. */
  label: string;
  /** In order; all of one size, so that nothing jumps. PNG files, or charts. */
  frames: readonly { at: number | string; picture: ChartSpec | Uint8Array }[];
  /** What the pictures show, for who cannot see them. */
  alt: string;
}

/**
 * Shows a slider over pictures that are drawn before. It needs no kernel, so that it also works on a static
 * page; where HTML is not shown, the middle picture stands. In plain Node.js it prints the text.
 *
 * @throws UserError for no frames, and where a chart cannot be drawn
 */
export async function showSlider({ label, alt, frames: all }: Slider): Promise<void> {
  const half = Math.floor(all.length / 2);
  const frames = quick(all, all.slice(half, half + 1));
  const middle = Math.floor(frames.length / 2);
  const pictures = await Promise.all(
    frames.map(async ({ at, picture }) => ({
      text: `${alt} (${label} ${at})`,
      at: `${at}`,
      png: Buffer.from(
        picture instanceof Uint8Array ? picture : await renderChart(picture),
      ).toString('base64'),
    })),
  );
  const first = pictures[middle];
  if (!first) throw new UserError('The slider has no frames', 'Expected at least one');
  const images = pictures.map(({ text, png }, i) => {
    const shown = i === middle ? 'block' : 'none';
    return `<img src="data:image/png;base64,${png}" alt="${escapeXml(text)}" style="display: ${shown}; width: 100%">`;
  });
  // A handler in the tag, as JupyterLab and static pages both run it, and a copy of the output has its own.
  const move =
    "const figure = this.closest('figure'); figure.querySelector('output').value = this.dataset.at.split('|')[this.value];" +
    "figure.querySelectorAll('img').forEach((image, i) => { image.style.display = i == this.value ? 'block' : 'none'; })";
  const html = `<figure style="margin: 0; max-width: ${pageWidth(first.png)}px">
<label style="display: flex; align-items: center; gap: 12px">${escapeXml(label)}
<input type="range" min="0" max="${pictures.length - 1}" value="${middle}" style="width: 280px" data-at="${escapeXml(pictures.map(({ at }) => at).join('|'))}" oninput="${move}">
<output>${escapeXml(first.at)}</output></label>
${images.join('\n')}
</figure>`;
  display(
    { 'text/html': html, 'image/png': first.png, 'text/plain': `[slider] ${first.text}` },
    { ...pageSize(first.png), alt: first.text },
  );
}

/** The size on the page of a PNG with two pixels for each of the page, from its header. */
function pageSize(png: string): { width: number; height: number } {
  const header = Buffer.from(png.slice(0, 44), 'base64');
  return { width: header.readUInt32BE(16) / 2, height: header.readUInt32BE(20) / 2 };
}

const pageWidth = (png: string) => Math.round(pageSize(png).width);
