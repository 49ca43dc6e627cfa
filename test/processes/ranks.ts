import type { ChildProcess } from 'node:child_process';
import * as fs from 'node:fs';

/** The ids of the processes that a command started by mpirun, by their ranks. */
export function ranksOf({ pid }: ChildProcess): number[] {
  const below = (id: number): number[] =>
    childrenOf(id).flatMap((child) => [child, ...below(child)]);
  const ranks = below(pid!).flatMap((id) => {
    const [, rank] = /\0(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)/.exec(environmentOf(id)) ?? [];
    return rank === undefined ? [] : [[Number(rank), id] as const];
  });
  return ranks.sort(([a], [b]) => a - b).map(([, id]) => id);
}

const environmentOf = (id: number) => fs.readFileSync(`/proc/${id}/environ`, 'utf8');

const childrenOf = (id: number) =>
  fs
    .readdirSync(`/proc/${id}/task`)
    .flatMap((task) => fs.readFileSync(`/proc/${id}/task/${task}/children`, 'utf8').split(' '))
    .filter(Boolean)
    .map(Number);
