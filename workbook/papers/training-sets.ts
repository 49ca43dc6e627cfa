import type { PaperScale, Source } from './paper-table.js';

/** How many images a data set has to train on, officially. */
export interface TrainingSet {
  title: string;
  images: number;
  source: Source;
}

/** The data sets of the papers, by what a {@link PaperScale} calls them. */
export const trainingSets: Readonly<Record<string, TrainingSet>> = {
  imagenet: {
    title: 'ImageNet (ILSVRC 2012)',
    images: 1_281_167,
    source: { work: 'arXiv 1409.0575', place: 'training images', known: 'remembered' },
  },
  imagenet64: {
    title: 'ImageNet 64×64, the unconditional set',
    images: 1_281_149,
    source: { work: 'arXiv 1601.06759', place: 'train_64x64', known: 'remembered' },
  },
  afhq: {
    title: 'AFHQ, first version',
    images: 14_630,
    source: { work: 'arXiv 1912.01865', place: 'train, three classes', known: 'remembered' },
  },
  cifar10: {
    title: 'CIFAR-10',
    images: 50_000,
    source: { work: 'Krizhevsky 2009', place: 'training batches', known: 'remembered' },
  },
  'CIFAR-100': {
    title: 'CIFAR-100',
    images: 50_000,
    source: { work: 'Krizhevsky 2009', place: 'training images', known: 'remembered' },
  },
  cc12m: {
    title: 'CC12M',
    images: 12_423_374,
    source: {
      work: 'arXiv 2102.08981',
      place: 'card of the data set, all addresses',
      known: 'read',
    },
  },
};

/** What a paper's model was trained on; undefined where its size is not known. */
export function trainingSetOf({
  encoded,
  dataset,
  data,
}: Pick<PaperScale, 'encoded' | 'dataset' | 'data'>): TrainingSet | undefined {
  return trainingSets[encoded ?? dataset ?? data];
}
