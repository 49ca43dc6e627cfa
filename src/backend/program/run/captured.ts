import { releaseFreeMemory } from '../../native/addon.js';
import { type NativeBackend, xlaIsAtHand } from '../../native/binding.js';
import { computesWithOneDnn } from '../../native/onednn.js';
import { tf } from '../../tf.js';
import { assemble, names } from '../lowering/assemble.js';
import { dropIdle, hoistCasts, readNarrow, sinkCasts } from '../passes/casts.js';
import { joinNorms } from '../passes/join-norms.js';
import { rematerialise } from '../passes/rematerialise.js';
import { sumRowsByProducts } from '../passes/row-sums.js';
import {
  mapValues,
  type Precision,
  type TensorSpec,
  type Trace,
  trace,
  type Value,
} from '../trace/tracing.js';
import type { Executor, Functions } from './executor.js';
import {
  findGraph,
  keepGraph,
  libraryDigest,
  loadGraph,
  withTemporaryGraph,
} from './graph-store.js';
import { Session } from './session.js';

export interface CaptureOptions {
  xla: boolean;
  precision: Precision;
  /** Where given, the graph is kept on disk under it. */
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
    const specs = mapValues(variables, ({ shape, dtype }) => ({ shape, dtype }) as TensorSpec);
    const fuse = !options.xla && xlaIsAtHand();
    const oneDnn = fuse && computesWithOneDnn();
    const load = (folder: string) => new Session(backend, folder, specs);
    const capture = () => {
      const bfloat16 = options.precision === 'bfloat16';
      const recorded = mapValues(functions, ({ inputs, body }, name) =>
        trace(backend, name, body, variables, inputs, options.precision),
      );
      const written = new Set(
        Object.values(recorded).flatMap(({ updates }) => Object.keys(updates)),
      );
      const captured = mapValues(functions, ({ inputs }, name) => {
        const improved = keepingParts(recorded[name] as Trace, (held) => {
          if (bfloat16) sinkCasts(held);
          dropIdle(held);
          if (bfloat16) hoistCasts(held);
          if (bfloat16) readNarrow(held, (variable) => !written.has(variable));
          if (bfloat16 && fuse) sumRowsByProducts(held);
          if (oneDnn) joinNorms(held);
          if (fuse) rematerialise(held);
        });
        return { inputs, trace: improved };
      });
      const { xla } = options;
      const graph = assemble(specs, captured, { xla, fuse, oneDnn }, backend.binding.TF_Version);
      const outputs = mapValues(captured, ({ trace: { outputs } }) => Object.keys(outputs));
      return { graph, outputs };
    };

    const key = options.description !== undefined && {
      ...options,
      fuse,
      oneDnn,
      library: libraryDigest(),
      tensorflow: backend.binding.TF_Version,
      tensorflowJs: tf.version_core,
      variables: specs,
      functions: mapValues(functions, ({ inputs, body }) => [inputs, String(body)]),
    };
    const stored = key ? findGraph(key) : undefined;
    const session = stored && loadGraph(stored, load);
    let outputs = stored?.outputs as Record<string, string[]>;
    if (session) {
      this.session = session;
    } else {
      const captured = capture();
      outputs = captured.outputs;
      const kept = key ? keepGraph(key, captured.graph, captured.outputs) : undefined;
      this.session = (kept && loadGraph(kept, load)) ?? withTemporaryGraph(captured.graph, load);
    }
    this.calls = mapValues(functions, ({ inputs }, name) => {
      const results = outputs[name] as string[];
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
    const call = this.calls[name] as Call;
    const { feeds, fetches, results } = call;
    const fetched = this.session.run(feeds, inputs, fetches);
    if (!call.compiled) {
      call.compiled = true;
      // What the compiler leaves free is a multiple of what a small function needs.
      releaseFreeMemory();
    }
    if (results.length === 0) tf.dispose(fetched);
    return Object.fromEntries(results.map((key, index) => [key, fetched[index] as tf.Tensor]));
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

/** Has a trace changed while its parts' results are among its outputs, which stay what they are. */
function keepingParts(trace: Trace, change: (held: Trace) => void): Trace {
  const { outputs, parts = [] } = trace;
  const name = (part: number, index: number) => `part ${part}, result ${index}`;
  const results = parts.flatMap((values, part) =>
    values.map((value, index) => [name(part, index), value] as const),
  );
  const held = { ...trace, outputs: { ...outputs, ...Object.fromEntries(results) } };
  change(held);
  const found = held.outputs as Record<string, Value>;
  return {
    ...held,
    outputs: mapValues(outputs, (_, key) => found[key] as Value),
    parts: parts.map((values, part) => values.map((_, index) => found[name(part, index)] as Value)),
  };
}

interface Call {
  feeds: string[];
  fetches: string[];
  /** Names of the outputs. */
  results: string[];
  /** True once it ran; TensorFlow prepares, and XLA compiles, a function at its first call. */
  compiled: boolean;
}
