#!/usr/bin/env node
// Committed JavaScript, so that `npx tarflow` answers before anything is built.
const { existsSync } = require('node:fs');
const path = require('node:path');

const [command, ...rest] = process.argv.slice(2);
const main = path.join(__dirname, '..', '..', 'dist', 'cli', 'main.js');

if (command === 'doctor') {
  import('../../data-scripts/doctor.mjs').then(async ({ doctor }) => {
    process.exitCode = await doctor(rest);
  });
} else if (existsSync(main)) {
  require(main);
} else {
  console.error(
    'tarflow is not built yet. Run `npm run setup`, or `npm run build` where set-up is done; ' +
      '`npx tarflow doctor` shows what is missing.',
  );
  process.exitCode = 2;
}
