import { Readable } from 'node:stream';

/** The kernel asks nobody for input: whoever reads from stdin is told so, and does not wait. */
export function refuseInput(): void {
  Object.defineProperty(process, 'stdin', {
    configurable: true,
    enumerable: true,
    get: () =>
      new Readable({
        read() {
          this.destroy(
            new Error(
              'A notebook cell cannot read from stdin: this kernel asks for no input. ' +
                'Write the value into the cell, or read it from a file.',
            ),
          );
        },
      }),
  });
}
