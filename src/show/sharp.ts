import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type Sharp from 'sharp';
import { cacheFolder } from '../core/cache-folder.js';

/** The font of every picture, and the fallbacks of a browser that does not have it. */
export const fontFamily = 'DejaVu Sans, Verdana, sans-serif';

/**
 * How a picture for a page is written: in at most 256 colours, without dithering. It looks the same, and
 * a notebook that keeps it stays small.
 */
export const pagePng = {
  palette: true,
  quality: 90,
  effort: 7,
  compressionLevel: 9,
  dither: 0,
} as const satisfies Sharp.PngOptions;

let loaded: typeof Sharp | undefined;

/**
 * sharp, set up to draw text with the project's own font. A bare machine has no fonts, and sharp then
 * draws a box for each letter. With one font, pictures are also the same everywhere.
 */
export function sharp(): typeof Sharp {
  if (loaded) return loaded;
  // It is read when the first text is drawn, so it has to be set before.
  process.env.FONTCONFIG_FILE = fontConfiguration();
  const module: typeof Sharp = require('sharp');
  loaded = module;
  return module;
}

function fontConfiguration(): string {
  const fonts = path.join(path.dirname(require.resolve('dejavu-fonts-ttf/package.json')), 'ttf');
  const folder = fontsFolder();
  const content = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${escapeXml(fonts)}</dir>
  <cachedir>${escapeXml(folder)}</cachedir>
</fontconfig>
`;
  // Named by its content, so that checkouts that share the cache folder do not overwrite it.
  const digest = createHash('sha256').update(content).digest('hex').slice(0, 16);
  const file = path.join(folder, `fonts-${digest}.conf`);
  if (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== content) {
    const temporary = `${file}.${process.pid}.tmp`;
    fs.writeFileSync(temporary, content);
    fs.renameSync(temporary, file);
  }
  return file;
}

/** In the cache, or where nobody can write there, as in many containers, in a temporary folder of this process. */
function fontsFolder(): string {
  const folder = path.join(cacheFolder(), 'fonts');
  try {
    fs.mkdirSync(folder, { recursive: true });
    fs.accessSync(folder, fs.constants.W_OK);
    return folder;
  } catch {
    const own = fs.mkdtempSync(path.join(os.tmpdir(), 'tarflow-fonts-'));
    process.once('exit', () => fs.rmSync(own, { recursive: true, force: true }));
    return own;
  }
}

/** Text escaped for XML, SVG and HTML. */
export function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
