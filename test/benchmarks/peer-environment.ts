import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';

/** The folder of the peers' programs and of what each takes. */
export const peersFolder = path.join(__dirname, 'peers');

/** What a peer is installed into, in the project's folder, and what that costs. */
const environments = {
  pytorch: {
    folder: '.venv-bench',
    about:
      'PyTorch: 0.2 GB to download and 0.9 GB on disk where the package index offers a build ' +
      'without CUDA, about 3 and 7 GB otherwise',
  },
  jax: { folder: '.venv-bench-jax', about: 'JAX: 0.15 GB to download and 0.6 GB on disk' },
  kept: {
    folder: '.venv-bench-kept',
    about: 'diffusers, torch-mimicry and TensorFlow Probability: about 1 GB to download',
  },
  'jax-cuda': {
    folder: '.venv-bench-jax-cuda',
    about: 'JAX with CUDA: about 3 GB to download and 6 GB on disk',
  },
};

export type PeerEnvironment = keyof typeof environments;

/** The Python of an environment of peers in the project's folder, made when it is not there. */
export function peerPython(root: string, name: PeerEnvironment): string {
  const { folder, about } = environments[name];
  const requirements = path.join(peersFolder, `${name}.txt`);
  const place = path.join(root, folder);
  const python = path.join(place, 'bin', 'python');
  const stamp = path.join(place, 'requirements-installed');
  const key = createHash('sha256').update(fs.readFileSync(requirements)).digest('hex');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === key) return python;
  console.log(`Installing into ${folder} ${about}.`);
  execFileSync('python3', ['-m', 'venv', place], { stdio: 'inherit' });
  // Git leaves alone a folder that ignores itself.
  fs.writeFileSync(path.join(place, '.gitignore'), '*\n');
  execFileSync(python, ['-m', 'pip', 'install', '-r', requirements], { stdio: 'inherit' });
  fs.writeFileSync(stamp, key);
  return python;
}
