#!/usr/bin/env node
// Committed JavaScript, so that `npx tarflow` answers before anything is built.
const { existsSync } = require('node:fs');
const path = require('node:path');

const [command, ...rest] = process.argv.slice(2);
const main = path.join(__dirname, '..', '..', 'dist', 'src', 'cli', 'main.js');

// A reader that has seen enough (`tarflow sample --help | head`) ends it quietly, as SIGPIPE would.
process.stdout.on('error', (error) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(141);
});

async function run() {
  const { commands } = await import('../../data-scripts/commands.mjs');
  const script = command !== undefined && Object.hasOwn(commands, command) && commands[command];
  if (script) {
    const { runMain } = await import('../../data-scripts/lib/setup-error.mjs');
    await runMain(() => script(rest));
    return process.exitCode;
  }
  if (!existsSync(main)) {
    console.error(
      'tarflow is not built yet. Run `npm run setup`, or `npm run build` where set-up is done; ' +
        '`npx tarflow doctor` shows what is missing.',
    );
    return 2;
  }
  // What srun starts has no mpirun beside it that would name MPI's library.
  if (process.env.SLURM_PROCID !== undefined) {
    const { findMpi } = await import('../../data-scripts/lib/processes.mjs');
    const { library } = findMpi(process.env) ?? {};
    if (library) process.env.TARFLOW_MPI = library;
  }
  return require(main).main(process.argv);
}

run()
  .catch((error) => {
    console.error(error);
    return 3;
  })
  .then((exitCode) => {
    process.exitCode = exitCode;
  });
