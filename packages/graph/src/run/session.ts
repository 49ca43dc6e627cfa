import { names } from '../lowering/assemble.js';
import { tag } from '../lowering/saved-model.js';
import type { NativeBackend } from '../native/binding.js';
import { tf } from '../tf.js';
import type { TensorSpec } from '../trace/body.js';

/** A loaded graph with the values of its variables. */
export class Session {
  private readonly id: number;
  private readonly indices: Map<string, number>;

  /** @param folder of a SavedModel that `assemble` made for these variables */
  constructor(
    private readonly backend: NativeBackend,
    folder: string,
    variables: Record<string, TensorSpec>,
  ) {
    this.id = backend.binding.loadSavedModel(folder, tag);
    this.indices = new Map(Object.keys(variables).map((name, index) => [name, index]));
  }

  /** Feeds tensors to nodes and returns what is fetched, which the caller frees. */
  run(feeds: string[], tensors: tf.Tensor[], fetches: string[]): tf.Tensor[] {
    const { backend } = this;
    return backend.binding
      .runSavedModel(this.id, backend.getInputTensorIds(tensors), feeds.join(), fetches.join())
      .map((metadata) => backend.createOutputTensor(metadata));
  }

  /** Sets variables. To set all at once takes one run of the graph, else each takes one. */
  assign(values: Record<string, tf.Tensor>): void {
    const given = Object.entries(values);
    const runs = given.length === this.indices.size ? [given] : given.map((entry) => [entry]);
    for (const entries of runs) {
      const indices = entries.map(([name]) => this.indices.get(name) as number);
      tf.dispose(
        this.run(
          indices.map(names.assigned),
          entries.map(([, value]) => value),
          [entries === given ? names.assignmentsDone : names.assignmentDone(indices[0] as number)],
        ),
      );
    }
  }

  /** Values of variables, in the order of their names, which the caller frees. */
  read(variables: string[]): tf.Tensor[] {
    if (variables.length === 0) return [];
    const fetches = variables.map((name) => names.read(this.indices.get(name) as number));
    return this.run([], [], fetches);
  }

  /** Frees the graph and its variables. */
  dispose(): void {
    this.backend.binding.deleteSavedModel(this.id);
  }
}
