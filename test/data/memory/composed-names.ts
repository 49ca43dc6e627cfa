import { loadDataset } from '../../../src/data/index.js';
import { composedNames } from '../../../src/data/memory/emoji-compositions.js';

/** All names of emoji, and those of the training split, in their order. */
export async function namesOfEmoji(): Promise<{ all: string[]; trained: string[] }> {
  const [train, ...rest] = await Promise.all(
    (['train', 'validation', 'test'] as const).map(async (split) => {
      const { captions = [] } = await loadDataset('emoji-32', split);
      return captions.map((caption) => caption.replace(/ \([^)]* skin tone\)$/, ''));
    }),
  );
  const trained = [...new Set(train)];
  return { all: [...new Set([...trained, ...rest.flat()])], trained };
}

/** The text of src/data/memory/composed-names.ts. */
export function writtenNames({ all, trained }: { all: string[]; trained: string[] }): string {
  const names = composedNames(all, trained).map((name) => `  '${name}',\n`);
  return (
    '// By the rule of emoji-compositions.ts. Written by ' +
    '`npx tsx test/data/memory/write-composed-names.ts`.\n\n' +
    '/**\n' +
    ' * Names of emoji that are held out of training and validation in the data sets ' +
    '`emoji-composed-*`, and in\n' +
    ' * those that are split like them: their words occur there in other names. They are the test ' +
    'split.\n' +
    ' */\n' +
    `export const heldOutNames: readonly string[] = [\n${names.join('')}];\n`
  );
}
