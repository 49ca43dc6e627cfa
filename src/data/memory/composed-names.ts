// By the rule of emoji-compositions.ts. Written by `npx tsx test/data/memory/write-composed-names.ts`.

/**
 * Names of emoji that are held out of training and validation in the data sets `emoji-composed-*`, and in
 * those that are split like them: their words occur there in other names. They are the test split.
 */
export const heldOutNames: readonly string[] = [
  'red heart',
  'orange square',
  'yellow circle',
  'green heart',
  'green book',
  'blue square',
  'purple circle',
  'brown heart',
  'white circle',
  'crying cat',
  'kissing cat',
  'man artist',
  'man dancing',
  'man farmer',
  'man guard',
  'man singer',
  'man swimming',
  'woman cook',
  'woman fairy',
  'woman golfing',
  'woman mage',
  'woman scientist',
  'woman surfing',
  'woman vampire',
];
