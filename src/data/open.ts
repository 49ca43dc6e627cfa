import { captionedSource } from './captioned.js';
import { archiveSource } from './encoded/archive.js';
import { folderSource } from './encoded/folder.js';
import { latentsSource } from './latents/latent-file.js';
import { imageDataset } from './memory.js';
import { rowsSource } from './rows.js';
import type { DataSource, SourceDescription } from './source.js';

/** The source that a description is of, as in another thread. */
export function sourceOf(description: SourceDescription): DataSource {
  switch (description.kind) {
    case 'memory':
      return imageDataset(description);
    case 'folder':
      return folderSource(description);
    case 'archive':
      return archiveSource(description);
    case 'rows':
      return rowsSource(description);
    case 'latents':
      return latentsSource(description);
    case 'captioned':
      return captionedSource(description, sourceOf(description.of));
  }
}
