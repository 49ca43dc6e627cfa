import type { KernelDistance } from '../evaluation/distances/kernel.js';
import type { NeighbourMeasures } from '../evaluation/distances/neighbours.js';
import type { FeatureNetwork } from '../evaluation/features/network.js';

/** What is told of one set of images beside the real ones. */
export interface Comparison extends Partial<NeighbourMeasures> {
  images: number;
  frechet: number;
  /** Its standard error over other samples, where it was asked for. */
  frechetError?: number;
  /** Without a deviation where the subsets are all images of a set: it would say nothing of that set. */
  kernel?: Pick<KernelDistance, 'mean'> & Partial<KernelDistance>;
}

function kernelText({ mean, deviation }: Required<Comparison>['kernel']): string {
  const error = deviation === undefined ? '' : ` ± ${deviation.toExponential(1)}`;
  return `${mean.toExponential(2)}${error}`;
}

/** All that `tarflow distance` tells, as `--json` prints it. */
export interface DistanceOutcome extends Comparison {
  real: string;
  network: string;
  /** Undefined where a file of statistics does not say it. */
  realImages: number | undefined;
  floor?: Comparison & { real: string };
  /** Figures that a file of statistics does not allow. */
  unavailable?: readonly string[];
}

/**
 * A table of the figures, each with the network and the numbers of images beside it.
 * @param names of the two distances by this network, where they have names of their own
 */
export function distanceText(
  outcome: DistanceOutcome,
  names: Required<FeatureNetwork>['distances'] = {
    frechet: 'Fréchet distance',
    kernel: 'kernel distance',
  },
): string {
  const { network, realImages, floor, unavailable } = outcome;
  const known = realImages ?? 'an unknown number of';
  const about = `(${network}, n = ${outcome.images} and ${realImages ?? 'unknown'})`;
  const columns = [outcome, ...(floor ? [floor] : [])];
  const rows: [string, string[]][] = [];
  const add = (title: string, text: (one: Comparison) => string | undefined): void => {
    const texts = columns.flatMap((one) => text(one) ?? []);
    if (texts.length > 0) rows.push([`${title} ${about}`, texts]);
  };
  add(names.frechet, ({ frechet, frechetError: error }) =>
    error === undefined ? frechet.toFixed(3) : `${frechet.toFixed(3)} ± ${error.toFixed(3)}`,
  );
  add(names.kernel, ({ kernel }) => kernel && kernelText(kernel));
  for (const measure of ['precision', 'recall', 'density', 'coverage'] as const) {
    add(measure, (one) => one[measure]?.toFixed(3));
  }
  const width = Math.max(...rows.map(([title]) => title.length));
  const line = (title: string, texts: string[]): string =>
    [title.padEnd(width), ...texts.map((text) => text.padStart(20))].join('');
  return [
    `${network}, ${outcome.images} images against ${known} real ones`,
    ...(floor ? [line('', ['images', 'floor'])] : []),
    ...rows.map(([title, texts]) => line(title, texts)),
    ...(unavailable
      ? [`${outcome.real} holds no images: ${unavailable.join(', ')} are unavailable`]
      : []),
  ].join('\n');
}
