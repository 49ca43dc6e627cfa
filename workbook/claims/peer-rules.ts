import { mean, meanWithError } from '../../src/evaluation/statistics.js';
import { median } from '../../src/sampling/planner/timing.js';
import type { ComparedModel, PeersRecord } from '../records/record.js';
import { clearlyBelow, type Outcome } from './paper-claim.js';

/** The rules of X1 to X4, Table 2 and Table 3, as `results/rules.md` says them. */

type Models = readonly ComparedModel[];

/** The kinds of models, by how their experiments' names end. */
export type PeerKind =
  | 'tarflow'
  | 'density'
  | 'epsilon'
  | 'v'
  | 'rectified-flow'
  | 'pixelcnn'
  | 'vae'
  | 'gan';
export const diffusions = ['epsilon', 'v', 'rectified-flow'] as const;

/** The trainings of a kind of model. */
export const ofKind = (models: Models, kind: PeerKind): ComparedModel[] =>
  models.filter(({ model }) => model.replace(/^peers-(emoji-)?/, '') === kind);

/** The mean over trainings of a figure; NaN where none has it. */
function overTrainings(
  models: Models,
  kind: PeerKind,
  of: (model: ComparedModel) => number | undefined,
): number {
  return mean(ofKind(models, kind).map((model) => of(model) ?? Number.NaN));
}

const distance = ({ samples }: ComparedModel) => samples?.FD.mean;

/** FD of samples of a kind, the mean of its trainings. */
export const distanceOf = (models: Models, kind: PeerKind): number =>
  overTrainings(models, kind, distance);

/** The kind of diffusion model whose samples have the least FD; undefined where one is missing. */
export function bestDiffusion(models: Models): (typeof diffusions)[number] | undefined {
  const found = diffusions.map((kind) => distanceOf(models, kind));
  return found.some(Number.isNaN) ? undefined : diffusions[found.indexOf(Math.min(...found))];
}

/** X1: FD is at most a quarter above that of the best diffusion model. */
export const comparableSamples = (records: readonly PeersRecord[]): Outcome =>
  onEach(records, (models) => {
    const best = bestDiffusion(models);
    return best && told(distanceOf(models, 'tarflow'), 1.25 * distanceOf(models, best));
  });

/** X1: images that went to noise and back differ a tenth as much as those of the best diffusion model. */
export const exactInverse = (records: readonly PeersRecord[]): Outcome =>
  onEach(records, (models) => {
    const best = bestDiffusion(models);
    const largest = (kind: PeerKind) =>
      overTrainings(models, kind, ({ roundTrip }) => roundTrip?.largest);
    return best && told(largest('tarflow'), largest(best) / 10);
  });

/** Whether a training's FD is ever half above the least so far. */
export function isUnstable({ course = [] }: ComparedModel): boolean {
  let least = Number.POSITIVE_INFINITY;
  return course.some(({ FD }) => {
    const rises = FD > 1.5 * least;
    least = Math.min(least, FD);
    return rises;
  });
}

/** X2: no training of the TarFlow is unstable, and one of the GAN is. */
export const stable = (records: readonly PeersRecord[]): Outcome =>
  onEach(records, (models) => {
    const [own, theirs] = [ofKind(models, 'tarflow'), ofKind(models, 'gan')];
    if (Math.min(own.length, theirs.length) < 3) return undefined;
    if (own.some(isUnstable)) return false;
    return theirs.some(isUnstable) || undefined;
  });

/** X2: coverage and recall are above the GAN's. */
export const keepsModes = (records: readonly PeersRecord[]): Outcome =>
  onEach(records, (models) => {
    const outcomes = (['coverage', 'recall'] as const).map((measure) => {
      const figure = (kind: PeerKind) => {
        const values = ofKind(models, kind).map(({ samples }) => samples?.[measure] ?? Number.NaN);
        const { mean: value, standardError: error } = meanWithError(values);
        return { value, error };
      };
      const [own, theirs] = [figure('tarflow'), figure('gan')];
      if (own.error === undefined || theirs.error === undefined) return undefined;
      return clearlyBelow(theirs, own);
    });
    return outcomes.includes(undefined) ? undefined : outcomes.every(Boolean);
  });

/** How many more bits another kind takes, by image, with its error; undefined where one is missing. */
export function excessBits(models: Models, kind: PeerKind) {
  const [own, theirs] = [ofKind(models, 'density')[0]?.bits, ofKind(models, kind)[0]?.bits];
  if (!own || !theirs) return undefined;
  const n = Math.min(own.values.length, theirs.values.length);
  const by = Array.from({ length: n }, (_, i) => theirs.values[i]! - own.values[i]!);
  const { mean: value, standardError: error } = meanWithError(by);
  return { value, error };
}

/** X3 and Table 2: fewer bits than each of some kinds. */
export const fewerBits = (records: readonly PeersRecord[], ...kinds: PeerKind[]): Outcome =>
  onEach(records, (models) => {
    const excesses = kinds.map((kind) => excessBits(models, kind));
    if (excesses.includes(undefined)) return undefined;
    return excesses.every((excess) => clearlyBelow(0, excess!));
  });

/** How sharp samples are: their mean square of the Laplacian, as a share of that of test images. */
export const sharpnessOf = ({ models, real }: PeersRecord, kind: PeerKind): number =>
  overTrainings(models, kind, ({ samples }) => samples?.laplacian) / real.laplacian;

/** X3: sharpness is nearer to that of test images, as a ratio, than the VAE's. */
export const sharper = (records: readonly PeersRecord[]): Outcome =>
  onEach(records, (_, record) => {
    const from1 = (kind: PeerKind) => Math.abs(Math.log(sharpnessOf(record, kind)));
    return told(from1('tarflow'), from1('vae'));
  });

/** Bits per dimension of a kind, the mean of its trainings. */
export const bitsOf = (models: Models, kind: PeerKind): number =>
  overTrainings(models, kind, ({ bits }) => bits?.mean);

/** X4: at most 1.05 times the PixelCNN's bits. */
export const competitive = (records: readonly PeersRecord[]): Outcome =>
  onEach(records, (models) => told(bitsOf(models, 'density'), 1.05 * bitsOf(models, 'pixelcnn')));

/** Seconds of an image in a batch, by the usual way of sampling. */
export function secondsOf(models: Models, kind: PeerKind, batch: number): number {
  return overTrainings(models, kind, ({ sampling }) => {
    const times = sampling?.[0]?.seconds.find((one) => one.batch === batch)?.values;
    return times && median(times) / batch;
  });
}

/** X4: an image takes at most half of the PixelCNN's time, alone and among 250. */
export const faster = (records: readonly PeersRecord[]): Outcome =>
  onEach(records, (models) => {
    const outcomes = [1, 250].map((batch) =>
      told(secondsOf(models, 'tarflow', batch), secondsOf(models, 'pixelcnn', batch) / 2),
    );
    return outcomes.includes(undefined) ? undefined : outcomes.every(Boolean);
  });

/** Table 3: FD is at most a quarter above that of the GAN. */
export const nearGans = (records: readonly PeersRecord[]): Outcome =>
  onEach(records, (models) =>
    told(distanceOf(models, 'tarflow'), 1.25 * distanceOf(models, 'gan')),
  );

/** Whether one number is at most another; undefined where one is missing. */
function told(one: number, most: number): Outcome {
  return Number.isNaN(one) || Number.isNaN(most) ? undefined : one <= most;
}

/** Whether something is so on each set of data that was measured, or on one. */
function onEach(
  records: readonly PeersRecord[],
  isSo: (models: Models, record: PeersRecord) => Outcome,
): Outcome {
  if (records.length === 0) return undefined;
  const outcomes = records.map((record) => isSo(record.models, record));
  if (outcomes.includes(undefined)) return undefined;
  if (outcomes.every((one) => one === true)) return true;
  return outcomes.some((one) => one === true || one === 'in part') ? 'in part' : false;
}
