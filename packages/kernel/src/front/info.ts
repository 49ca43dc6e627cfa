import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { protocolVersion } from './wire.js';

/** The content of a `kernel_info_reply`. */
export function kernelInfo(): Record<string, unknown> {
  const versions = { own: versionOf('../..'), tslab: versionOf(tslabFolder()) };
  return {
    status: 'ok',
    protocol_version: protocolVersion,
    implementation: 'tarflow',
    implementation_version: versions.own,
    language_info: {
      name: 'typescript',
      version: versionOf(path.join(tslabFolder(), '..', '@tslab', 'typescript-for-tslab')),
      mimetype: 'text/typescript',
      file_extension: '.ts',
      codemirror_mode: { mode: 'typescript', name: 'javascript', typescript: true },
      nbconvert_exporter: 'script',
      pygments_lexer: 'typescript',
    },
    banner: `TypeScript (@tarflow/kernel ${versions.own}, tslab ${versions.tslab}, Node.js ${process.versions.node})`,
    debugger: false,
    help_links: [
      { text: 'TypeScript', url: 'https://www.typescriptlang.org/docs/' },
      { text: 'Node.js', url: 'https://nodejs.org/api/' },
    ],
  };
}

function tslabFolder(): string {
  return path.join(path.dirname(require.resolve('tslab')), '..');
}

function versionOf(folder: string): string {
  try {
    const file = path.resolve(__dirname, folder, 'package.json');
    return String(JSON.parse(readFileSync(file, 'utf8')).version);
  } catch {
    return '';
  }
}
