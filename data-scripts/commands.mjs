/**
 * The commands of `tarflow` that work before there are packages or a build: each takes the arguments
 * behind its name, and gives the exit status.
 *
 * @type {Record<string, (programArguments: string[]) => Promise<number>>}
 */
export const commands = {
  doctor: async (rest) => (await import('./commands/doctor.mjs')).doctor(rest),
  data: async (rest) => (await import('./commands/data.mjs')).dataCommand(rest),
  setup: async (rest) => (await import('./commands/native.mjs')).setUpEngine(rest),
};
