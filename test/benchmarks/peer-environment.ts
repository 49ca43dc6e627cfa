import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';

const requirements = path.join(__dirname, 'peer', 'requirements.txt');

/**
 * The Python of the peer's own environment, `.venv-bench` in the project's folder, which is made
 * when it is not there.
 */
export function peerPython(root: string): string {
  const folder = path.join(root, '.venv-bench');
  const python = path.join(folder, 'bin', 'python');
  const stamp = path.join(folder, 'requirements-installed');
  const key = createHash('sha256').update(fs.readFileSync(requirements)).digest('hex');
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === key) return python;
  console.log(
    'Installing PyTorch into .venv-bench: 0.2 GB to download and 0.9 GB on disk where the package ' +
      'index offers a build without CUDA, about 3 and 7 GB otherwise.',
  );
  execFileSync('python3', ['-m', 'venv', folder], { stdio: 'inherit' });
  // Git leaves alone a folder that ignores itself.
  fs.writeFileSync(path.join(folder, '.gitignore'), '*\n');
  execFileSync(python, ['-m', 'pip', 'install', '-r', requirements], { stdio: 'inherit' });
  fs.writeFileSync(stamp, key);
  return python;
}
