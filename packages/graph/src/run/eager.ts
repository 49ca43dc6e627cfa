import { nativeBackend, overridden, withBinding } from '../native/binding.js';
import { mapValues } from '../records.js';
import { tf, tidy } from '../tf.js';
import { bfloat16Binding } from '../trace/bfloat16.js';
import { checkedOutcome, type Precision } from '../trace/body.js';
import type { Executor, Functions } from './executor.js';

/** Runs functions op by op, on any engine. */
export class EagerExecutor implements Executor {
  private readonly variables: Record<string, tf.Tensor>;

  constructor(
    variables: Record<string, tf.Tensor>,
    private readonly functions: Functions,
    private readonly precision: Precision,
  ) {
    this.variables = mapValues(variables, own);
  }

  call(name: string, tensors: tf.Tensor[]): Record<string, tf.Tensor> {
    const { inputs, body } = this.functions[name] as Functions[string];
    const named = Object.fromEntries(
      Object.keys(inputs).map((key, index) => [key, tensors[index] as tf.Tensor]),
    );
    return tidy(() => {
      const outcome = this.inPrecision(() => body({ ...this.variables }, named));
      const { outputs, updates } = checkedOutcome(name, outcome, this.variables);
      const kept = mapValues(updates, own);
      this.assign(kept);
      tf.dispose(kept);
      return mapValues(outputs, (output) => output.clone());
    });
  }

  read(variables: string[]): tf.Tensor[] {
    return variables.map((name) => own(this.variables[name] as tf.Tensor));
  }

  assign(values: Record<string, tf.Tensor>): void {
    for (const [name, value] of Object.entries(values)) {
      this.variables[name]?.dispose();
      this.variables[name] = own(value);
    }
  }

  dispose(): void {
    tf.dispose(this.variables);
  }

  private inPrecision<R>(f: () => R): R {
    const backend = nativeBackend();
    if (this.precision === 'float32' || !backend) return f();
    const narrow = bfloat16Binding(backend.binding);
    try {
      const binding = overridden(backend.binding, { executeOp: narrow.executeOp });
      return withBinding(backend, binding, f);
    } finally {
      narrow.release();
    }
  }
}

/** The same numbers as a new tensor, which outlives the current `tf.tidy`. */
function own(tensor: tf.Tensor): tf.Tensor {
  return tf.keep(tensor.clone());
}
