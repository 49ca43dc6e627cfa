/**
 * Writes src/data/memory/composed-names.ts, the names held out for composition, by the rule of
 * emoji-compositions.ts over the published emoji: `npx tsx test/data/memory/write-composed-names.ts`.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { namesOfEmoji, writtenNames } from './composed-names.js';

const file = path.join(__dirname, '../../../src/data/memory/composed-names.ts');
namesOfEmoji().then((names) => {
  fs.writeFileSync(file, writtenNames(names));
  console.log(file);
});
