import { UserError } from '../errors.js';
import { mpiLibraries, type StartedProcess } from './start.js';

/** A message under way. Its memory is kept until it has left, or arrived. */
export interface Message {
  /** The other process. */
  readonly peer: number;
  readonly bytes: Uint8Array;
  readonly request: BigInt64Array;
  done: boolean;
}

/** MPI in this process. */
export type Mpi = ReturnType<typeof startMpi>;

/** The handles of MPICH and its kin, of which the lower half is read. Open MPI's are addresses. */
const [worldOfMpich, byteOfMpich] = [0x44000000n, 0x4c00010dn];

/** The longest status of the known libraries has 24 bytes. */
const statusBytes = 64;

const message =
  'void *bytes, int count, intptr type, int peer, int tag, intptr comm, void *request';

/**
 * Starts MPI in this process: messages between two processes, which are under way while this one goes on.
 * They are in every MPI since its first version, and all on one thread. An error in MPI ends all processes.
 *
 * @throws UserError where no library is found, or another one than that of what started the processes
 */
export function startMpi(started: StartedProcess) {
  // UCX, which Open MPI and MPICH load, would change the code of the system's `brk` and try the change by
  // taking and giving back memory: what another thread allocates in between is lost, and the process crashes
  // later. Without it memory is registered for each message anew.
  process.env.UCX_MEM_EVENTS ??= 'no';
  const { name, koffi, library } = loadedLibrary(mpiLibraries(started, process.env));
  const symbol = (handle: string) => koffi.address(library.symbol(`ompi_mpi_${handle}`));
  let [world, byte] = [worldOfMpich, byteOfMpich];
  try {
    [world, byte] = [symbol('comm_world'), symbol('byte')];
  } catch {
    // Not Open MPI.
  }
  const send = library.func(`int MPI_Isend(${message})`);
  const receive = library.func(`int MPI_Irecv(${message})`);
  const test = library.func('int MPI_Test(void *request, void *flag, void *status)');
  const abort = library.func('int MPI_Abort(intptr comm, int code)');
  const finalize = library.func('int MPI_Finalize()');
  library.func('int MPI_Init(intptr argc, intptr argv)')(0, 0);
  const [rank, size] = ['rank', 'size'].map((what) => {
    const found = new Int32Array(1);
    library.func(`int MPI_Comm_${what}(intptr comm, void *found)`)(world, found);
    return found[0];
  });
  if (rank !== started.rank || size !== started.size) {
    finalize();
    throw new UserError(
      `${started.by} started ${started.size} processes, and to ${name} this is process ${rank} of ${size}`,
      'Name the library of that MPI, TARFLOW_MPI=/…/libmpi.so.…; with srun see also --mpi (srun --mpi=list)',
    );
  }
  const flag = new Int32Array(1);
  const status = new Uint8Array(statusBytes);
  const begun = (begin: typeof send, peer: number, bytes: Uint8Array): Message => {
    const request = new BigInt64Array(1);
    begin(bytes, bytes.length, byte, peer, 0, world, request);
    return { peer, bytes, request, done: false };
  };
  return {
    send: (to: number, bytes: Uint8Array) => begun(send, to, bytes),
    /** Messages of a process arrive in the order in which it sent them. */
    receive: (from: number, bytes: Uint8Array) => begun(receive, from, bytes),
    /** Whether a message has left, or arrived. It moves only while somebody asks. */
    isDone(asked: Message): boolean {
      if (!asked.done) {
        test(asked.request, flag, status);
        asked.done = flag[0] !== 0;
      }
      return asked.done;
    },
    /** Ends all processes at once. */
    abort: (exitCode: number): void => abort(world, exitCode),
    finalize: (): void => finalize(),
  };
}

function loadedLibrary(names: readonly string[]) {
  let reason = '';
  for (const name of names) {
    try {
      const koffi: typeof import('koffi') = require('koffi');
      // Its plugins look for its symbols among those of the process.
      return { name, koffi, library: koffi.load(name, { global: true }) };
    } catch (error) {
      reason = `${error}`.split('\n')[0] ?? '';
    }
  }
  const what = process.env.TARFLOW_MPI ? 'What TARFLOW_MPI names' : 'An MPI library';
  throw new UserError(
    `${what} cannot be loaded: ${names.join(', ')} (${reason})`,
    "Name your MPI's, TARFLOW_MPI=/…/libmpi.so.…; `npx tarflow doctor` says what is missing",
  );
}
