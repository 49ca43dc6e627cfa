import { UserError } from '../../src/core/errors.js';
import { checkWidths, type Features, finiteRows } from '../../src/evaluation/feature-statistics.js';
import { forDistances } from '../../src/evaluation/neighbours.js';
import { standardErrorOfShare } from '../../src/evaluation/statistics.js';

/** Features of images with a caption for each. */
export interface CaptionedFeatures {
  features: Features;
  captions: readonly string[];
}

/** How often images are nearest to one with their own caption. */
export interface CaptionAgreement {
  /** The share of images for which this is so. */
  share: number;
  standardError: number;
  /** The number of images. */
  images: number;
  /** The number of reference images. */
  references: number;
  /** The number of different captions of the references. */
  captions: number;
}

/**
 * The share of images whose nearest one among some others has the caption that they were made from, in
 * the features of any network: what one finds by looking an image up in a picture book. Of others that are
 * equally near it is enough that one has the caption, since some drawings have several names.
 *
 * Where every caption has as many references, chance is one in the number of captions. The ceiling is what
 * real images reach among the same references: drawings of one vendor looked up among those of another,
 * and images of a model among those of each.
 *
 * @param images as they were asked for
 * @param references real ones, of the same network; those named in `captions` of the images among them
 * @throws UserError for features that are not finite or of two widths, and where captions are not as many
 *   as features, or one is in no reference
 *
 * @example
 * ```ts
 * import { captionAgreement } from 'tarflow/workbook';
 *
 * const real = {
 *   features: { data: [0, 0, 4, 4], shape: [2, 2] },
 *   captions: ['red heart', 'cat'],
 * } as const;
 * const generated = {
 *   features: { data: [1, 0, 1, 1], shape: [2, 2] },
 *   captions: ['red heart', 'cat'],
 * } as const;
 * console.log(captionAgreement(generated, real).share); // 0.5: the cat looks like a heart
 * ```
 */
export function captionAgreement(
  images: CaptionedFeatures,
  references: CaptionedFeatures,
): CaptionAgreement {
  const [seen, others] = [checked(images, 'images'), checked(references, 'references')];
  checkWidths(others.shape[1], seen.shape[1]);
  if (seen.shape[0] === 0) {
    throw new UserError('The agreement of no images was asked for', 'Give one or more');
  }
  const known = new Set(references.captions);
  const unknown = images.captions.find((caption) => !known.has(caption));
  if (unknown !== undefined) {
    throw new UserError(
      `No reference has the caption '${unknown}'`,
      'Give references for every caption, or leave these images out',
    );
  }
  const width = others.shape[1];
  let agreeing = 0;
  forDistances(seen, others, (image, distances) => {
    let least = Number.POSITIVE_INFINITY;
    for (const distance of distances) least = Math.min(least, distance);
    const caption = images.captions[image];
    let square = 0;
    for (let i = image * width; i < (image + 1) * width; i++) square += seen.data[i]! ** 2;
    const reach = least + rounding * square;
    const agrees = distances.some(
      (distance, other) => distance <= reach && references.captions[other] === caption,
    );
    if (agrees) agreeing++;
  });
  const count = seen.shape[0];
  const share = agreeing / count;
  return {
    share,
    standardError: standardErrorOfShare(share, count),
    images: count,
    references: others.shape[0],
    captions: known.size,
  };
}

/** Squared distances that differ by this share of the squared features are equal but for rounding. */
const rounding = 1e-6;

function checked({ features, captions }: CaptionedFeatures, what: string) {
  const rows = finiteRows(features);
  if (captions.length === rows.shape[0]) return rows;
  throw new UserError(
    `${captions.length} captions came for the features of ${rows.shape[0]} ${what}`,
    'Expected one for each',
  );
}
