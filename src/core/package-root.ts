import * as fs from 'node:fs';
import * as path from 'node:path';

/** The folder of the nearest package.json above this file, which may be in src/ or dist/. */
export function packageRoot(): string {
  let folder = __dirname;
  while (!fs.existsSync(path.join(folder, 'package.json'))) folder = path.dirname(folder);
  return folder;
}
