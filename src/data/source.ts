/** Size of an image tensor: channels, height and width in pixels. */
export interface ImageSize {
  channels: number;
  height: number;
  width: number;
}

/** Some samples of a source, before noise. */
export interface RawBatch {
  /** The number of samples. */
  count: number;
  image: ImageSize;
  /**
   * (count, channels, height, width), row by row: grey levels 0 … 255, or numbers as they are (latents).
   */
  values: Uint8Array | Float32Array;
  /** One class index a sample; −1 where it has none. */
  labels: Int32Array;
  /** What each sample shows, in words, where the source says so. */
  captions?: readonly string[];
}
