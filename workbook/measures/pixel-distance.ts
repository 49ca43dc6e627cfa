/** How far the pixels' statistics are from those of other images, as shares of the data range. */
export interface PixelDistance {
  /** Root mean square over the pixels of the difference of their means. */
  mean: number;
  /** The same of their standard deviations, which are divided by the number of images. */
  deviation: number;
}

/** Mean and standard deviation of each pixel over some images. */
export interface PixelStatistics {
  means: Float64Array;
  deviations: Float64Array;
}

/** @param values of the images, one after the other */
export function pixelStatistics(values: Float32Array, images: number): PixelStatistics {
  const size = values.length / images;
  const means = new Float64Array(size);
  const deviations = new Float64Array(size);
  for (let pixel = 0; pixel < size; pixel++) {
    let [sum, squares] = [0, 0];
    for (let at = pixel; at < values.length; at += size) sum += values[at]!;
    const mean = sum / images;
    for (let at = pixel; at < values.length; at += size) squares += (values[at]! - mean) ** 2;
    means[pixel] = mean;
    deviations[pixel] = Math.sqrt(squares / images);
  }
  return { means, deviations };
}

/** How far the statistics of two sets of images are from each other. */
export function statisticsDistance(a: PixelStatistics, b: PixelStatistics): PixelDistance {
  const apart = (left: Float64Array, right: Float64Array): number => {
    let squares = 0;
    for (let i = 0; i < left.length; i++) squares += (left[i]! - right[i]!) ** 2;
    // The data range is 2.
    return Math.sqrt(squares / left.length) / 2;
  };
  return { mean: apart(a.means, b.means), deviation: apart(a.deviations, b.deviations) };
}
