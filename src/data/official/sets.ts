import { UserError } from '../../core/errors.js';
import type { Split } from '../description.js';
import type { FolderOptions } from '../folder/folder.js';

/** A data set of the papers that a user has on disk, as it is officially distributed. */
interface OfficialSet {
  title: string;
  /** Where it is to be had. */
  address: string;
  /** What a folder of it holds. */
  layout: string;
  licence: string;
}

/** The data sets that `NAME:FOLDER` opens. */
export const officialSets = {
  imagenet: {
    title: 'ImageNet (ILSVRC 2012)',
    address: 'https://image-net.org/download',
    layout:
      'train/nXXXXXXXX/*.JPEG and val/nXXXXXXXX/*.JPEG, or as downloaded: ILSVRC2012_img_train.tar, ' +
      'ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz',
    licence: 'non-commercial research and education (https://image-net.org/download)',
  },
  imagenet64: {
    title: 'downsampled ImageNet 64×64',
    address: 'https://image-net.org/download',
    layout:
      'train_data_batch_1.npz … train_data_batch_10.npz and val_data.npz, or, without labels, ' +
      'train_64x64 and valid_64x64 as folders of PNG files or .tar',
    licence: 'non-commercial research and education (https://image-net.org/download)',
  },
  afhq: {
    title: 'AFHQ',
    address: 'https://github.com/clovaai/stargan-v2',
    layout: 'train/{cat,dog,wild}/* and test/{cat,dog,wild}/*, which is val/ in the first version',
    licence: 'CC BY-NC 4.0 (NAVER Corp., https://github.com/clovaai/stargan-v2)',
  },
  cifar10: {
    title: 'CIFAR-10, binary version',
    address: 'https://www.cs.toronto.edu/~kriz/cifar.html',
    layout: 'data_batch_1.bin … data_batch_5.bin and test_batch.bin, or cifar-10-binary.tar.gz',
    licence: 'not stated (https://www.cs.toronto.edu/~kriz/cifar.html)',
  },
} as const satisfies Record<string, OfficialSet>;

export type OfficialName = keyof typeof officialSets;

/** The names, for help texts and errors. */
export const officialNames = Object.keys(officialSets) as readonly OfficialName[];

export interface OfficialOptions extends FolderOptions {
  /**
   * JPEGs are scaled down while they are decoded: faster, and only near to the published transform.
   * Default: false.
   */
  fastDecode?: boolean | undefined;
}

/** What to open of an official set. */
export interface Opening {
  /** The folder that the user named. */
  root: string;
  split: Split;
  options: OfficialOptions;
}

/** What is wrong with the files of a set, with where to get it and what its folder holds. */
export function officialError(name: OfficialName, problem: string): UserError {
  const { title, address, layout } = officialSets[name];
  return new UserError(problem, `Get ${title} from ${address}. Expected in the folder: ${layout}`);
}
