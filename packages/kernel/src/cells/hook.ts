/** What the kernel offers the library beyond what tslab does, found under a symbol of its own. */
export interface KernelHook {
  /** Removes what the cell has shown; with `wait`, when it shows something next. */
  clearOutput(wait: boolean): void;
}

/** The library looks here (`src/workbook/display.ts`). */
export function installHook(hook: KernelHook): void {
  Object.defineProperty(globalThis, Symbol.for('tarflow.kernel'), { value: hook });
}
