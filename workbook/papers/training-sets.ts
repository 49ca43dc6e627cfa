import type { PaperScale, Source } from './paper-table.js';

/** How many images a data set has to train on, officially. */
export interface TrainingSet {
  title: string;
  images: number;
  source: Source;
}

function remembered(title: string, images: number, work: string, place: string): TrainingSet {
  return { title, images, source: { work, place, known: 'remembered' } };
}

const [krizhevsky, clips] = ['Krizhevsky 2009', 'card of the data set, all addresses'];

/** The data sets of the papers, by what a {@link PaperScale} calls them. */
export const trainingSets: Readonly<Record<string, TrainingSet>> = {
  imagenet: remembered('ImageNet (ILSVRC 2012)', 1_281_167, 'arXiv 1409.0575', 'training images'),
  imagenet64: remembered(
    'ImageNet 64×64, the unconditional set',
    1_281_149,
    'arXiv 1601.06759',
    'train_64x64',
  ),
  afhq: remembered('AFHQ, first version', 14_630, 'arXiv 1912.01865', 'train, three classes'),
  cifar10: remembered('CIFAR-10', 50_000, krizhevsky, 'training batches'),
  'CIFAR-100': remembered('CIFAR-100', 50_000, krizhevsky, 'training images'),
  cc12m: {
    title: 'CC12M',
    images: 12_423_374,
    source: { work: 'arXiv 2102.08981', place: clips, known: 'read' },
  },
};

/**
 * What a paper's model was trained on.
 * @throws RangeError where its size is not known
 */
export function trainingSetOf(
  paper: Pick<PaperScale, 'encoded' | 'dataset' | 'data'>,
): TrainingSet {
  const name = paper.encoded ?? paper.dataset ?? paper.data;
  const set = trainingSets[name];
  if (set) return set;
  throw new RangeError(`How many images ${name} has is not known. Add it to the training sets.`);
}
