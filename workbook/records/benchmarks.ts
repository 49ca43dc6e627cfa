import { z } from 'zod';
import { readChecked, readResult } from './record.js';

/** The peers of the benchmark, by their names in results/benchmarks.json, as tables name them. */
export const peerTitles = {
  'pytorch eager': 'PyTorch eager',
  'torch.compile': 'torch.compile',
  jax: 'JAX',
} as const;

export type PeerName = keyof typeof peerTitles;

const peerNames = z.enum(['pytorch eager', 'torch.compile', 'jax'] satisfies PeerName[]);

/** A figure of each peer that a row has. */
export type PeerFigures = Partial<Record<PeerName, number>>;

/** What a row of results/benchmarks.json says of both sides. */
export interface ComparedFigures {
  ours: number;
  peers?: PeerFigures | undefined;
  /** PyTorch eager in rows of one peer, which have torch.compile among `others`. */
  peer?: number | undefined;
  others?: Record<string, number> | undefined;
}

/** What each peer took of time or memory, in rows of one peer too. */
export function peersOf({ peers, peer, others }: ComparedFigures): PeerFigures {
  if (peers) return peers;
  const compiled = others?.['torch.compile'];
  return {
    ...(peer !== undefined && { 'pytorch eager': peer }),
    ...(compiled !== undefined && { 'torch.compile': compiled }),
  };
}

/** The peer with the smallest figure, which ours is compared with. */
export function bestPeer(row: ComparedFigures): { name: PeerName; figure: number; ratio: number } {
  const peers = peersOf(row);
  const measured = peerNames.options.flatMap((name) => {
    const figure = peers[name];
    return figure === undefined ? [] : [{ name, figure, ratio: row.ours / figure }];
  });
  const [best] = measured.sort((one, other) => one.figure - other.figure);
  if (!best) throw new RangeError('A row of the benchmark has no peer.');
  return best;
}

/** A row, with its ratio to the best of the peers that it has. */
const row = z
  .object({
    name: z.string(),
    configuration: z.string(),
    batch: z.number(),
    precision: z.string(),
    unit: z.enum(['s', 'B']),
    mode: z.string(),
    device: z.string().optional(),
    ours: z.number(),
    peers: z.partialRecord(peerNames, z.number()).optional(),
    peer: z.number().optional(),
    others: z.record(z.string(), z.number()).optional(),
    growth: z.object({ series: z.string(), size: z.number() }).optional(),
    baseline: z.boolean().optional(),
  })
  .transform((row) => {
    const { name: best, figure: bestFigure, ratio } = bestPeer(row);
    return { ...row, peers: peersOf(row), best, bestFigure, ratio };
  });
export type BenchmarkRow = z.infer<typeof row>;

const machine = z.object({
  machine: z.object({
    processor: z.string(),
    threads: z.number(),
    gpu: z.string().optional(),
    ours: z.string(),
    peer: z.string(),
    jax: z.string().optional(),
  }),
  comparison: z.array(row).default([]),
  scaling: z.array(row).default([]),
});
/** What was measured on a machine. */
export type BenchmarkMachine = z.infer<typeof machine>;

/** The machines on which ours was compared with its peers, as results/benchmarks.json or another file has them. */
export async function readBenchmarks(file?: string): Promise<BenchmarkMachine[]> {
  const machines = file
    ? ((await readChecked(z.array(machine), file, 'Measure again')) ?? [])
    : await readResult(z.array(machine), 'benchmarks.json');
  return machines.filter(({ comparison }) => comparison.length > 0);
}
