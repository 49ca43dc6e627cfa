import type { MimeBundle } from '../../src/show/display.js';

/** One output that a notebook's kernel was asked to send. */
export interface Output {
  data: MimeBundle & Record<string, unknown>;
  metadata: Record<string, unknown>;
  transient: { display_id?: string };
  update: boolean;
}

const place = '/somewhere/node_modules/tslab/dist/jupyter.js';

/** Puts a stand-in for tslab's kernel where the library looks for it; returns what it is sent. */
export function pretendNotebook(): Output[] {
  const outputs: Output[] = [];
  const lastWriteDisplayData = (output: Omit<Output, 'update'>, update: boolean) => {
    outputs.push({ ...structuredClone(output), update });
  };
  require.cache[place] = { exports: { lastWriteDisplayData } } as unknown as NodeJS.Module;
  return outputs;
}

/** Back to plain Node. */
export function leaveNotebook(): void {
  delete require.cache[place];
}
