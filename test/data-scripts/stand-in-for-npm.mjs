import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { Progress } from '../../data-scripts/lib/progress.mjs';

/**
 * @param {string} name
 * @param {Uint8Array | string} content
 * @param {string} [kind] 5 for a folder
 */
export function tarEntry(name, content, kind = '0') {
  const header = Buffer.alloc(512);
  const cut = name.length > 100 ? name.lastIndexOf('/', 100) : -1;
  header.write(name.slice(cut + 1), 0);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write(kind, 156);
  header.write('ustar\x0000', 257);
  if (cut > 0) header.write(name.slice(0, cut), 345);
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  return Buffer.concat([header, Buffer.from(content), padding]);
}

export const tarEnd = Buffer.alloc(1024);

/**
 * A shell script in npm's place, made anew for every test: `npm pack` copies all archives of a small
 * registry.
 */
export function standInForNpm() {
  let folder = '';
  const npm = {
    /** @type {import('../../data-scripts/lib/steps.mjs').Context} */
    context: { root: '', cache: '', env: {}, progress: quiet() },
    /** The file with the arguments of each call in a line. */
    calls: '',

    /** @param {string} script */
    write(script) {
      const file = path.join(folder, 'programs', 'npm');
      writeFileSync(file, `#!/bin/sh\n${script}\n`);
      chmodSync(file, 0o755);
    },

    /**
     * @param {string} name what npm calls the archive
     * @param {Uint8Array} archive
     */
    publish(name, archive) {
      writeFileSync(path.join(folder, 'registry', name), archive);
      const integrity = `sha512-${createHash('sha512').update(archive).digest('base64')}`;
      return { bytes: archive.length, integrity };
    },
  };
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'tarflow-test-'));
    npm.context = {
      root: folder,
      cache: path.join(folder, 'cache'),
      env: { PATH: path.join(folder, 'programs') },
      progress: quiet(),
    };
    npm.calls = path.join(folder, 'calls');
    for (const name of ['cache', 'programs', 'registry']) mkdirSync(path.join(folder, name));
    npm.write(
      `echo "$@" >> ${npm.calls}; while [ "$1" != --pack-destination ]; do shift; done; ` +
        `/bin/cp ${folder}/registry/*.tgz "$2"`,
    );
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  return npm;
}

function quiet() {
  return new Progress(/** @type {any} */ ({ isTTY: false, write: () => true }));
}
