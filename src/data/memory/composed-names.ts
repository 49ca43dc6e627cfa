/**
 * Names of emoji held out for composition, by the rule of emoji-compositions.ts. Written by
 * `npx tsx test/data/memory/write-composed-names.ts`.
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
