import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { findProgram } from '../../data-scripts/lib/places.mjs';

/** Chromium: TARFLOW_CHROMIUM, or what a system calls it. */
const program =
  process.env.TARFLOW_CHROMIUM || findProgram('chromium') || findProgram('chromium-browser');

export const browserIsThere = program !== undefined && existsSync(program);

export const skipNote =
  'skipped: there is no Chromium here. Install it (Debian: apt-get install chromium), or set ' +
  'TARFLOW_CHROMIUM to its program';

/** @param {readonly string[]} options that differ between tests */
export function launchBrowser(options) {
  const usual = [
    ...['--headless', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-sync'],
    ...['--disable-background-networking', '--disable-component-update'],
  ];
  return chromium.launch({ executablePath: program, args: [...usual, ...options] });
}
