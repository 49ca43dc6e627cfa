import { assemble, names } from '../lowering/assemble.js';
import { tag } from '../lowering/saved-model.js';
import { releaseFreeMemory } from '../native/addon.js';
import { computesWithOneDnn, type NativeBackend, xlaIsAtHand } from '../native/binding.js';
import { improved } from '../passes/improve.js';
import { entryOf, mapValues } from '../records.js';
import { tf } from '../tf.js';
import { roundsProducts } from '../trace/bfloat16.js';
import type { Functions, Precision, TensorSpec } from '../trace/body.js';
import { trace } from '../trace/tracing.js';
import type { Executor } from './eager.js';
import { specsOf } from './feeds.js';
import { codeDigest, findGraph, keepGraph, loadGraph, withTemporaryGraph } from './graph-store.js';

interface CaptureOptions {
  xla: boolean;
  precision: Precision;
  /** If given, the graph is kept on disk under it. */
  description: string | undefined;
}

/** Runs functions as TensorFlow graphs. */
export class CapturedExecutor implements Executor {
  private readonly session: Session;
  private readonly calls: Record<string, Call>;

  constructor(
    backend: NativeBackend,
    variables: Record<string, tf.Tensor>,
    functions: Functions,
    options: CaptureOptions,
  ) {
    const fuse = !options.xla && xlaIsAtHand();
    const capture = new Capture(backend, variables, functions, {
      ...options,
      fuse,
      oneDnn: fuse && computesWithOneDnn(),
    });
    const { session, outputs } = capture.load();
    this.session = session;
    this.calls = mapValues(functions, ({ inputs }, name) => {
      const results = entryOf(outputs, name);
      return {
        feeds: Object.keys(inputs).map((_, index) => names.input(name, index)),
        results,
        // A function without outputs is run for what it writes.
        fetches:
          results.length > 0
            ? results.map((_, index) => names.output(name, index))
            : [names.done(name)],
        compiled: false,
      };
    });
    this.session.assign(variables);
  }

  call(name: string, inputs: tf.Tensor[]): Record<string, tf.Tensor> {
    const call = entryOf(this.calls, name);
    const { feeds, fetches, results } = call;
    const fetched = this.session.run(feeds, inputs, fetches);
    if (!call.compiled) {
      call.compiled = true;
      // What the compiler leaves free is a multiple of what a small function needs.
      releaseFreeMemory();
    }
    if (results.length === 0) tf.dispose(fetched);
    return Object.fromEntries(results.map((key, index) => [key, entryOf(fetched, index)]));
  }

  read(variables: string[]): tf.Tensor[] {
    return this.session.read(variables);
  }

  assign(values: Record<string, tf.Tensor>): void {
    this.session.assign(values);
  }

  dispose(): void {
    this.session.dispose();
  }
}

interface Call {
  feeds: string[];
  fetches: string[];
  /** Names of the outputs. */
  results: string[];
  /** True once it ran: TensorFlow prepares, and XLA compiles, a function at its first call. */
  compiled: boolean;
}

/** The names of each function's outputs. */
type OutputNames = Record<string, string[]>;

/** Makes the graph of a program, or finds it on disk. */
class Capture {
  private readonly specs: Record<string, TensorSpec>;
  /** False where products of bfloat16 factors are cut off; XLA rounds them everywhere. */
  private readonly rounds: boolean;

  constructor(
    private readonly backend: NativeBackend,
    private readonly variables: Record<string, tf.Tensor>,
    private readonly functions: Functions,
    private readonly options: CaptureOptions & { fuse: boolean; oneDnn: boolean },
  ) {
    this.specs = specsOf(variables);
    const { precision, xla } = options;
    this.rounds = precision === 'float32' || xla || roundsProducts(backend.binding);
  }

  /** A session with the graph: the one kept on disk if it loads, else one that is captured now. */
  load(): { session: Session; outputs: OutputNames } {
    const load = (folder: string) => new Session(this.backend, folder, this.specs);
    if (this.options.description === undefined) {
      const { graph, outputs } = this.capture();
      return { session: withTemporaryGraph(graph, load), outputs };
    }
    const key = this.key();
    const stored = findGraph(key);
    const found = stored && loadGraph(stored, load);
    if (found) return { session: found, outputs: stored.outputs };
    const { graph, outputs } = this.capture();
    const kept = keepGraph(key, graph, outputs);
    const session = (kept && loadGraph(kept, load)) ?? withTemporaryGraph(graph, load);
    return { session, outputs };
  }

  /** Everything on which the graph depends. */
  private key(): object {
    return {
      ...this.options,
      rounds: this.rounds,
      code: codeDigest(),
      tensorflow: this.backend.binding.TF_Version,
      tensorflowJs: tf.version_core,
      variables: this.specs,
      functions: mapValues(this.functions, ({ inputs, body }) => [inputs, String(body)]),
    };
  }

  private capture(): { graph: Uint8Array; outputs: OutputNames } {
    const { backend, variables, functions, specs } = this;
    const { xla, fuse, oneDnn, precision } = this.options;
    const recorded = mapValues(functions, ({ inputs, body }, name) => ({
      inputs,
      trace: trace(backend, name, body, variables, inputs, precision, this.rounds),
    }));
    const written = new Set(
      Object.values(recorded).flatMap(({ trace: { updates } }) => Object.keys(updates)),
    );
    const target = { bfloat16: precision === 'bfloat16' && this.rounds, fuse, oneDnn };
    const captured = mapValues(recorded, ({ inputs, trace }) => ({
      inputs,
      trace: improved(trace, target, written),
    }));
    return {
      graph: assemble(specs, captured, { xla, fuse, oneDnn }, backend.binding.TF_Version),
      outputs: mapValues(captured, ({ trace: { outputs } }) => Object.keys(outputs)),
    };
  }
}

/** A loaded graph with the values of its variables. */
class Session {
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
      const indices = entries.map(([name]) => entryOf(this.indices, name));
      tf.dispose(
        this.run(
          indices.map(names.assigned),
          entries.map(([, value]) => value),
          [entries === given ? names.assignmentsDone : indices.map(names.assignmentDone).join()],
        ),
      );
    }
  }

  /** Values of variables, in the order of their names, which the caller frees. */
  read(variables: string[]): tf.Tensor[] {
    if (variables.length === 0) return [];
    const fetches = variables.map((name) => names.read(entryOf(this.indices, name)));
    return this.run([], [], fetches);
  }

  /** Frees the graph and its variables. */
  dispose(): void {
    this.backend.binding.deleteSavedModel(this.id);
  }
}
