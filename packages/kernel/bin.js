#!/usr/bin/env node
// Committed JavaScript, so that Jupyter is told what to run before anything is built.
const { existsSync } = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');

const usage = `Usage:
  tarflow-kernel install [--user | --prefix DIR] [--name NAME] [--display-name TEXT]
  tarflow-kernel uninstall [--user | --prefix DIR] [--name NAME]

  --user          for all Jupyters of the user (default)
  --prefix DIR    in one Python environment, such as a virtual environment's folder
  --name NAME     default: typescript
  --display-name  what front ends show (default: TypeScript)

Jupyter itself starts the kernel: tarflow-kernel CONNECTION_FILE
`;

const options = {
  user: { type: 'boolean' },
  prefix: { type: 'string' },
  name: { type: 'string', default: 'typescript' },
  'display-name': { type: 'string', default: 'TypeScript' },
};

async function register(command, args) {
  const { values } = parseArgs({ args, options });
  const { user, prefix, name, 'display-name': displayName } = values;
  if (user && prefix !== undefined) {
    throw new Error('Both --user and --prefix were given. Expected one of them.');
  }
  const { installKernel, uninstallKernel } = await import('./kernelspec.mjs');
  if (command === 'install') {
    console.log(`Installed ${displayName}: ${installKernel({ prefix, name, displayName })}`);
  } else {
    console.log(`Removed ${uninstallKernel({ prefix, name })}`);
  }
}

const [command, ...rest] = process.argv.slice(2);
const main = path.join(__dirname, 'dist', 'front', 'front.js');
if (command === 'install' || command === 'uninstall') {
  register(command, rest).catch((error) => {
    console.error(`${error.message}\n\n${usage}`);
    process.exitCode = 2;
  });
} else if (command === '--help' || command === undefined) {
  console.log(usage);
} else if (existsSync(main)) {
  require(main).startKernel(command);
} else {
  console.error(
    'The kernel is not built yet. Run `npm run setup`, or `npm run build` where set-up is done.',
  );
  process.exitCode = 2;
}
