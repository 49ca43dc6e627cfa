import { tf, tidy } from '../../core/tf.js';
import { keptOrMade, keptPlace } from '../../formats/kept-file.js';
import { withSafetensors, writeSafetensors } from '../../formats/safetensors.js';
import type { CaptionEncoder } from '../../pretrained/caption-encoder.js';

/** Grows where an encoder comes to read captions in another way, so that what was kept is not taken. */
const version = 1;

/** So many different captions at once, or more, are kept on disk: those of a data set. */
export const manyCaptions = 64;

/**
 * An encoder that computes the states of each caption once, however often it comes in a call, and
 * those of a call with {@link manyCaptions} or more once for good: they are kept in the cache folder
 * (`text/states/`) under its weights, the captions and the number of entries. Where states come from
 * there, no caption is warned of again.
 */
export function keepingStates(encoder: CaptionEncoder): CaptionEncoder {
  return {
    ...encoder,
    async encode(captions, { entries = encoder.entries } = {}) {
      const different = [...new Set(captions)];
      const states = await statesOf(encoder, different, entries);
      if (different.length === captions.length) return states;
      const rows = new Map(different.map((caption, row) => [caption, row]));
      const places = captions.map((caption) => rows.get(caption)!);
      try {
        return tidy(() => tf.gather(states, tf.tensor1d(places, 'int32')));
      } finally {
        states.dispose();
      }
    },
  };
}

async function statesOf(
  encoder: CaptionEncoder,
  captions: readonly string[],
  entries: number,
): Promise<tf.Tensor3D> {
  if (captions.length < manyCaptions) return encoder.encode(captions, { entries });
  const { name, weights, width } = encoder;
  const shape: [number, number, number] = [captions.length, entries, width];
  return keptOrMade(keptPlace('text/states', [version, weights, entries, captions]), {
    read: (file) =>
      withSafetensors(file, async (opened) => {
        if (opened.tensors.states?.shape.join() !== shape.join()) return undefined;
        const { data } = await opened.read('states');
        return tf.tensor3d(Float32Array.from(data), shape);
      }),
    make: () => encoder.encode(captions, { entries }),
    async write(file, states) {
      const data = await states.data<'float32'>();
      await writeSafetensors(
        file,
        { states: { dtype: 'F32', shape, data } },
        { encoder: name, weights },
      );
    },
  });
}
