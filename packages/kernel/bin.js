#!/usr/bin/env node
// Committed JavaScript, so that Jupyter is told what to run before anything is built.
const { existsSync } = require('node:fs');
const path = require('node:path');

const main = path.join(__dirname, 'dist', 'front', 'front.js');
if (existsSync(main)) {
  require(main).startKernel(process.argv[2]);
} else {
  console.error(
    'The kernel is not built yet. Run `npm run setup`, or `npm run build` where set-up is done.',
  );
  process.exitCode = 2;
}
