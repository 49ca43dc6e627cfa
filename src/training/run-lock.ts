import * as sync from 'node:fs';
import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import { UserError } from '../core/errors.js';
import { unwritable, writeAtomically } from '../core/files.js';

/** Another process has the folder open. */
export class FolderLocked extends UserError {}

/**
 * Who holds a lock. A process id is reused some time after its process has ended, so the time
 * at which the process began belongs to it; only Linux tells it.
 */
interface Owner {
  pid: number;
  host: string;
  /** In clock ticks since the machine started. */
  started?: string | undefined;
}

/**
 * Locks a folder for this process, by a file that is made exclusively. A lock whose process has
 * ended, however it did, is taken over at once. Nothing has to happen while it is held: a training
 * step or a compiler blocks timers for minutes.
 *
 * @param file the lock
 * @param folder what to call the folder in an error
 * @returns a function that gives the lock back
 * @throws FolderLocked that names the process that has it, FileUnwritable
 */
export async function lockFolder(file: string, folder: string): Promise<() => Promise<void>> {
  const { started } = processState(process.pid);
  const text = JSON.stringify({ pid: process.pid, host: os.hostname(), started } satisfies Owner);
  const release = async (): Promise<void> => {
    const content = await fs.readFile(file, 'utf8').catch(() => '');
    // Not that of another, should somebody have deleted ours. Where it cannot be removed, it ends with us.
    if (content === text) await fs.rm(file, { force: true }).catch(() => {});
  };
  while (!madeLock(file, text)) {
    const owner = await ownerOf(file);
    if (owner === 'released') continue;
    if (owner !== 'nobody' && runs(owner)) throw locked(owner, file, folder);
    // Of several processes that find the lock of one that has ended, one alone may replace it.
    const releaseGuard = await lockFolder(`${file}~`, folder);
    try {
      const still = await ownerOf(file);
      if (still === 'released' || (still !== 'nobody' && runs(still))) continue;
      await writeAtomically(file, text);
      return release;
    } finally {
      await releaseGuard();
    }
  }
  return release;
}

/** @returns false where there is a lock already */
function madeLock(file: string, text: string): boolean {
  try {
    // At once, so that hardly ever another process reads the file before the text is in it.
    sync.writeFileSync(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw unwritable(file, error);
  }
}

/** Who holds a lock: nobody where its maker, or the machine, stopped before it was written. */
async function ownerOf(file: string): Promise<Owner | 'released' | 'nobody'> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const text = await fs.readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw unwritable(file, error);
    });
    if (text === undefined) return 'released';
    try {
      const owner: Owner = JSON.parse(text);
      if (Number.isInteger(owner.pid) && owner.pid > 0 && typeof owner.host === 'string')
        return owner;
    } catch {
      // It may be about to be written.
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return 'nobody';
}

/** Whether a lock's process may still be running; of another machine's nobody can tell. */
function runs({ pid, host, started }: Owner): boolean {
  if (host !== os.hostname()) return true;
  if (!isThere(pid)) return false;
  const now = processState(pid);
  if (now.ended) return false;
  return now.started === undefined || started === undefined || now.started === started;
}

/** Whether there is a process of this machine; that of another user is there, and may not be asked. */
export function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a process started, and whether it has ended and only waits for its parent to notice. */
function processState(pid: number): { started?: string | undefined; ended?: boolean } {
  try {
    const text = sync.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in brackets, which may itself hold any of both.
    const [state = '', ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { started: fields[18], ended: state === 'Z' || state === 'X' };
  } catch {
    return {};
  }
}

function locked({ pid, host }: Owner, file: string, folder: string): FolderLocked {
  if (host !== os.hostname()) {
    return new FolderLocked(
      `${folder} is locked by process ${pid} on ${host}, and this is ${os.hostname()}, ` +
        'which cannot tell whether that still runs',
      `If it does not, delete ${file}; else wait, or choose another folder`,
    );
  }
  return new FolderLocked(
    `${folder} is in use by ${pid === process.pid ? 'this process' : 'process'} ${pid}`,
    'Wait until it ends, stop it, or choose another folder',
  );
}
