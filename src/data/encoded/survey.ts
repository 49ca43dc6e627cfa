import * as path from 'node:path';
import { readBytes } from '../../core/files.js';
import type { ImageSize } from '../source.js';
import { folderLayout } from './folder.js';
import { DamagedImage, loadedSharp, type MeasuredImage, measuredImage } from './image-file.js';

/** What the pictures in a folder are like, before one of them is decoded. */
export interface FolderSurvey {
  /** The size to train on that loses least: see {@link surveyFolder}. */
  image: ImageSize;
  /** What pictures lose where they are brought to a size, each beginning with how many do; and those damaged. */
  losses(image: ImageSize): string[];
  /** How the pictures are divided, their size, and {@link losses}, in a line. */
  text(image: ImageSize): string;
}

/** Pictures that are looked at, evenly spread: what is said of more of them is an estimate. */
const mostMeasured = 300;

/** Sides of pictures to train on. */
const sides = [8, 16, 32, 64];

/**
 * Looks at the pictures in a folder (`openFolder`), and chooses a size for a model of them: in colour where
 * one of them has colour, and squares whose side is the largest of 8, 16, 32 and 64 that half of the pictures
 * cover. Squares of one size up to 64 whose side is a multiple of 4 stay as they are.
 *
 * @throws UserError as `openFolder`, and where no picture can be read
 */
export async function surveyFolder(folder: string): Promise<FolderSurvey> {
  const { root, splits, cut, images } = await folderLayout(folder);
  const parts = await Promise.all(splits.map(images));
  const files = parts.flat().map(({ file }) => path.join(root, file));
  const chosen = files.filter((_, i) => i % Math.ceil(files.length / mostMeasured) === 0);
  const measured: MeasuredImage[] = [];
  const damaged: DamagedImage[] = [];
  // A thread may load sharp only after the main one did.
  loadedSharp();
  for (const name of chosen) {
    try {
      measured.push(await measuredImage({ name, bytes: await readBytes(name) }));
    } catch (error) {
      if (!(error instanceof DamagedImage)) throw error;
      damaged.push(error);
    }
  }
  if (measured.length === 0) throw damaged[0];
  const counts = splits.map((split, i) => `${parts[i]!.length} ${split}`).join(', ');
  const of = chosen.length < files.length ? ` of ${chosen.length} looked at` : '';
  const losses = (image: ImageSize) => [
    ...lossesOf(measured, image).map((loss) => loss.replace('#', of)),
    ...damaged.map(({ problem }) => `${problem}: another of its class stands in for it`),
  ];
  return {
    image: fittingSize(measured),
    losses,
    text: (image) =>
      [
        cut
          ? `${counts} (a tenth of each class is held out, the same every time)`
          : `${counts}, as the folder has them`,
        `${image.width}×${image.height} in ${image.channels === 1 ? 'grey' : 'colour'}`,
        ...losses(image),
      ].join('; '),
  };
}

function fittingSize(measured: readonly MeasuredImage[]): ImageSize {
  const channels = measured.some(({ image }) => image.channels === 3) ? 3 : 1;
  const shorter = measured.map(({ image }) => Math.min(image.height, image.width));
  const [first = 8] = shorter;
  const alike = measured.every(({ image }) => image.height === first && image.width === first);
  const median = shorter.sort((a, b) => a - b)[shorter.length >> 1]!;
  const side = sides.filter((one) => one <= median).at(-1) ?? 8;
  const exact = alike && first <= 64 && first >= 8 && first % 4 === 0;
  return { channels, height: exact ? first : side, width: exact ? first : side };
}

/** What is lost, with # after each number of pictures. */
function lossesOf(measured: readonly MeasuredImage[], image: ImageSize): string[] {
  const { channels, height, width } = image;
  const size = `${width}×${height}`;
  const counts = new Map<string, number>();
  for (const { image: own, losses } of measured) {
    const all = [
      ...losses,
      own.channels > channels && 'in colour become grey',
      own.height * width !== own.width * height &&
        `of another shape lose what is beside a middle of ${size}`,
      (own.height < height || own.width < width) && `smaller than ${size} are enlarged`,
    ].filter((loss) => loss !== false);
    for (const loss of all) counts.set(loss, (counts.get(loss) ?? 0) + 1);
  }
  return [...counts].map(([loss, number]) => `${number}# ${loss}`);
}
