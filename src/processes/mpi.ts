import type { LibraryHandle } from 'koffi';
import { UserError } from '../core/errors.js';
import { mpiLibraries } from './find-mpi.js';
import type { StartedProcess } from './started.js';

/** A message under way. The memory that it is read from, or written to, is kept until it is done. */
export interface Message {
  readonly bytes: Uint8Array;
  readonly request: BigInt64Array;
  done: boolean;
}

/**
 * The few functions of MPI that are needed: messages between two processes, which are sent while this
 * one goes on. They are in every MPI since its first version, and all on the main thread, so nothing
 * is asked of its threads.
 */
export interface Mpi {
  rank: number;
  size: number;
  send(to: number, bytes: Uint8Array): Message;
  /** Messages of a process arrive in the order in which it sent them. */
  receive(from: number, bytes: Uint8Array): Message;
  /** Whether a message has left, or arrived. It moves only while somebody asks. */
  isDone(message: Message): boolean;
  /** Ends all processes. */
  abort(exitCode: number): void;
  /** Ends the use of MPI, in all processes together. */
  finalize(): void;
}

/**
 * MPI_COMM_WORLD and MPI_BYTE: Open MPI's are addresses, MPICH's are numbers. Where MPICH takes an int,
 * the lower half of the argument is read.
 */
interface Handles {
  world: bigint;
  byte: bigint;
}
const handlesOfMpich: Handles = { world: 0x44000000n, byte: 0x4c00010dn };

const message =
  'void *bytes, int count, intptr type, int peer, int tag, intptr comm, void *request';

/** The longest status of the known libraries has 24 bytes. */
const statusBytes = 64;

/**
 * Starts MPI in this process. An error in MPI itself ends all processes, with its message.
 * @throws UserError where no library is found, or another one than that of what started the processes
 */
export function startMpi(started: StartedProcess): Mpi {
  const { name, koffi, library } = loadedLibrary();
  const functions = {
    init: library.func('int MPI_Init(intptr argc, intptr argv)'),
    rank: library.func('int MPI_Comm_rank(intptr comm, void *rank)'),
    size: library.func('int MPI_Comm_size(intptr comm, void *size)'),
    send: library.func(`int MPI_Isend(${message})`),
    receive: library.func(`int MPI_Irecv(${message})`),
    test: library.func('int MPI_Test(void *request, void *flag, void *status)'),
    abort: library.func('int MPI_Abort(intptr comm, int code)'),
    finalize: library.func('int MPI_Finalize()'),
  };
  const { world, byte } = handlesOf(library, koffi);
  functions.init(0, 0);
  const read = (ask: (comm: bigint, into: Int32Array) => number): number => {
    const found = new Int32Array(1);
    ask(world, found);
    return found[0] ?? 0;
  };
  const [rank, size] = [read(functions.rank), read(functions.size)];
  if (rank !== started.rank || size !== started.size) {
    functions.finalize();
    throw new UserError(
      `${started.by} started ${started.size} processes, and to ${name} this is process ${rank} of ${size}`,
      'Name the library of that MPI, TARFLOW_MPI=/…/libmpi.so.…; with srun see also --mpi (srun --mpi=list)',
    );
  }
  const flag = new Int32Array(1);
  const status = new Uint8Array(statusBytes);
  const begun = (way: 'send' | 'receive', peer: number, bytes: Uint8Array): Message => {
    const request = new BigInt64Array(1);
    functions[way](bytes, bytes.length, byte, peer, 0, world, request);
    return { bytes, request, done: false };
  };
  return {
    rank,
    size,
    send: (to, bytes) => begun('send', to, bytes),
    receive: (from, bytes) => begun('receive', from, bytes),
    isDone(message) {
      if (!message.done) {
        functions.test(message.request, flag, status);
        message.done = flag[0] !== 0;
      }
      return message.done;
    },
    abort: (exitCode) => void functions.abort(world, exitCode),
    finalize: () => void functions.finalize(),
  };
}

type Koffi = typeof import('koffi');

function loadedLibrary(): { name: string; koffi: Koffi; library: LibraryHandle } {
  let koffi: Koffi;
  try {
    koffi = require('koffi');
  } catch {
    throw new UserError(
      'Several processes need the npm package koffi, which is not installed',
      'Run `npm install --no-save koffi@3.3.4` (in a clone, `npm run setup`)',
    );
  }
  const names = mpiLibraries();
  for (const name of names) {
    try {
      // Its own plugins look for its symbols among those of the process.
      return { name, koffi, library: koffi.load(name, { global: true }) };
    } catch {
      // The next one.
    }
  }
  throw new UserError(
    `No MPI library can be loaded (tried ${names.join(', ')})`,
    "Name your MPI's, TARFLOW_MPI=/…/libmpi.so.…, or run `npx tarflow setup mpi`, which fetches Open MPI",
  );
}

function handlesOf(library: LibraryHandle, koffi: Koffi): Handles {
  try {
    const [world, byte] = ['comm_world', 'byte'].map((name) =>
      koffi.address(library.symbol(`ompi_mpi_${name}`)),
    );
    if (world && byte) return { world, byte };
  } catch {
    // Not Open MPI.
  }
  return handlesOfMpich;
}
