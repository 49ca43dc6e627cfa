/** The peers of the benchmark, by their names in results/benchmarks.json, as tables name them. */
export const peerTitles = {
  'pytorch eager': 'PyTorch eager',
  'torch.compile': 'torch.compile',
  jax: 'JAX',
} as const;

export type PeerName = keyof typeof peerTitles;

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
  const [best] = (Object.entries(peersOf(row)) as [PeerName, number][]).sort(
    ([, a], [, b]) => a - b,
  );
  if (!best) throw new RangeError('A row of the benchmark has no peer.');
  const [name, figure] = best;
  return { name, figure, ratio: row.ours / figure };
}
