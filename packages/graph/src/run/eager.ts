import { nativeBackend, overridden, withBinding } from '../native/binding.js';
import { entryOf, mapValues } from '../records.js';
import { tf, tidy } from '../tf.js';
import { bfloat16Binding, roundsProducts } from '../trace/bfloat16.js';
import { checkedOutcome, type Functions, type Precision } from '../trace/body.js';

/** Runs the functions of a program and holds its variables. Its callers check names and shapes. */
export interface Executor {
  /** Calls a function with tensors in the order of its inputs; the caller frees what it returns. */
  call(name: string, inputs: tf.Tensor[]): Record<string, tf.Tensor>;
  /** The values of variables, in the order of the names given; the caller frees them. */
  read(variables: string[]): tf.Tensor[];
  /** Sets variables to copies of tensors, which stay the caller's. */
  assign(values: Record<string, tf.Tensor>): void;
  /** Frees the variables and the functions. Nothing can be called afterwards. */
  dispose(): void;
}

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
    const { inputs, body } = entryOf(this.functions, name);
    const named = Object.fromEntries(
      Object.keys(inputs).map((key, index) => [key, entryOf(tensors, index)]),
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
    return variables.map((name) => own(entryOf(this.variables, name)));
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
    const narrow = bfloat16Binding(backend.binding, roundsProducts(backend.binding));
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
