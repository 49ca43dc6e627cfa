/** Runs our side's workloads for bench.ts: one JSON object a line in, one out. */

import * as readline from 'node:readline';
import { batchParts, createProgram, type Mode, type Precision, tensorSpec } from '@tarflow/graph';
import { mixtureRows } from '../../src/conditions/labels.js';
import { startEngine } from '../../src/core/engine.js';
import { foldIn, normal, type RandomKey, randomKey } from '../../src/core/random.js';
import { tf } from '../../src/core/tf.js';
import { type Leaves, leaves } from '../../src/core/tree.js';
import { disposeModel, type Model } from '../../src/flow/index.js';
import { type HostTensor, writeSafetensors } from '../../src/formats/safetensors.js';
import { createModel } from '../../src/models/registry.js';
import { denoise, inverse } from '../../src/sampling/index.js';
import { modelSpec, type Task } from '../../src/training/model-spec.js';
import { biasCorrections } from '../../src/training/optimiser/adamw.js';
import { trainingProgram } from '../../src/training/program.js';
import { initialState } from '../../src/training/state.js';
import { evaluationStep, packingOf } from '../../src/training/step.js';
import { type FlowConfig, learningRate, sizesOf, type Workload } from './cases.js';

const sigma = 0.1;

interface CaseRequest {
  name: string;
  workload: Workload;
  config: FlowConfig;
  batch: number;
  precision: Precision;
  mode: Mode | 'default';
}

interface Prepared {
  /** One repetition; the caller frees its results. */
  run(): Leaves | Promise<Leaves>;
  /** What a training step changes, a tensor for each parameter and moment; the caller frees them. */
  state?(): Leaves;
  release(): void;
}

const prepared = new Map<string, Prepared>();

const commands = {
  async hello() {
    const report = await startEngine();
    return { version: report.version, engine: report.engine, gpu: report.gpu };
  },

  /** Writes parameters and inputs of a configuration to a file. */
  async weights({ config, batch, file }: { config: FlowConfig; batch: number; file: string }) {
    const flow = benchmarkFlow(config);
    const { images, latents, labels } = benchmarkInputs(config, batch);
    const tensors: Record<string, HostTensor> = {
      images: { dtype: 'F32', shape: imageShape(config, batch), data: images },
      latents: { dtype: 'F32', shape: latentShape(config, batch), data: latents },
      labels: { dtype: 'I32', shape: [batch], data: labels },
    };
    for (const [name, leaf] of Object.entries(leaves(flow.parameters))) {
      tensors[name] = hostTensor(leaf);
    }
    await writeSafetensors(file, tensors, {});
    disposeModel(flow);
    return {};
  },

  async prepare(request: CaseRequest) {
    prepared.set(request.name, prepare(request));
    return {};
  },

  async run({ name, times }: { name: string; times: number }) {
    const one = prepared.get(name) as Prepared;
    const begun = performance.now();
    for (let i = 0; i < times; i++) readAll(await one.run());
    return { seconds: (performance.now() - begun) / 1000 / times };
  },

  async release({ name }: { name: string }) {
    prepared.get(name)?.release();
    prepared.delete(name);
    return {};
  },

  /** What the first run of a case gives, and a training step's state after it, into a file. */
  async check({ out, ...request }: CaseRequest & { out: string }) {
    const one = prepare(request);
    const results = await one.run();
    const found = { ...results, ...one.state?.() };
    const tensors = Object.fromEntries(
      Object.entries(found).map(([name, tensor]) => [name, hostTensor(tensor)]),
    );
    await writeSafetensors(out, tensors, {});
    tf.dispose(found);
    one.release();
    return {};
  },

  /** Matrix products of `size`: seconds for one, the best of several. */
  async peak({ size, precision, times }: { size: number; precision: Precision; times: number }) {
    const key = randomKey(1);
    const matrix = (name: string) =>
      tf.tensor2d(normal(foldIn(key, name), size * size), [size, size]);
    const count = 8;
    const variables = { a: matrix('a'), b: matrix('b') };
    // Several in one call, so that the cast to bfloat16 of what both have does not count.
    const program = createProgram({
      variables,
      functions: {
        product: {
          inputs: {},
          body: ({ a, b }) => {
            let product = tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D);
            for (let i = 1; i < count; i++) product = tf.matMul(product, b as tf.Tensor2D);
            return { outputs: { sum: tf.sum(product) } };
          },
        },
      },
      precision,
    });
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < times; i++) {
      const begun = performance.now();
      tf.dispose(program.run.product({}));
      best = Math.min(best, (performance.now() - begun) / 1000 / count);
    }
    program.dispose();
    tf.dispose(variables);
    return { seconds: best };
  },
};

function prepare({ workload, config, batch, precision, mode }: CaseRequest): Prepared {
  const flow = benchmarkFlow(config);
  const { images, latents, labels } = benchmarkInputs(config, batch);
  const classes = mixtureRows(labels, batch, config);
  const batchSpecs = {
    images: tensorSpec(imageShape(config, batch)),
    classes: tensorSpec([batch, classes.length / batch]),
  };
  const chosen = mode === 'default' ? { precision } : { mode, precision };
  const rows = batch * sizesOf(config).tokens;
  const spec = modelSpec(flow.family, config);
  const [task] = spec.tasks as [Task];
  switch (workload) {
    case 'training step': {
      const state = initialState(spec, flow, false);
      const program = trainingProgram(spec, state, {
        batchSize: batch,
        heldOut: batch,
        step: { weightDecay: 1e-4 },
        ...chosen,
      });
      tf.dispose(state);
      let count = 0;
      return {
        run() {
          const corrections = biasCorrections(++count);
          return program.train(
            task.objective.name,
            { images, classes },
            {
              learningRate,
              firstCorrection: corrections.first,
              secondCorrection: corrections.second,
            },
          );
        },
        state: () => program.read(),
        release() {
          program.dispose();
          disposeModel(flow);
        },
      };
    }
    case 'forward': {
      const variables = initialState(spec, flow, false);
      const program = createProgram({
        variables,
        functions: {
          evaluate: {
            inputs: batchSpecs,
            body: evaluationStep(
              spec,
              task,
              packingOf(spec, 'graph'),
              batchParts(chosen.mode, batch, rows),
            ),
          },
        },
        ...chosen,
      });
      tf.dispose(variables);
      return {
        run: () => program.run.evaluate({ images, classes }),
        release() {
          program.dispose();
          disposeModel(flow);
        },
      };
    }
    case 'sampling':
    case 'guided sampling': {
      const options = {
        ...(workload === 'guided sampling' && { guidance: { weight: 1 } }),
        ...chosen,
      };
      const z = tf.tensor3d(latents, latentShape(config, batch) as [number, number, number]);
      return {
        run: async () => ({ images: await inverse(flow, z, { label: labels, ...options }) }),
        release: () => {
          z.dispose();
          disposeModel(flow);
        },
      };
    }
    case 'denoising step': {
      const x = tf.tensor4d(images, imageShape(config, batch) as [number, number, number, number]);
      return {
        run: () => ({ images: denoise(flow, x, { sigma, label: labels, ...chosen }) }),
        release: () => {
          x.dispose();
          disposeModel(flow);
        },
      };
    }
  }
}

/** Brings tensors to the host and frees them. */
function readAll(tensors: Leaves): void {
  for (const tensor of Object.values(tensors)) {
    tensor.dataSync();
    tensor.dispose();
  }
}

/** A fresh flow whose last layers are not zero, so that every gradient is there to compare. */
function benchmarkFlow(config: FlowConfig): Model {
  const flow = createModel(config, 1);
  const { blocks } = flow.parameters as { blocks: { proj_out: { weight: tf.Tensor2D } }[] };
  blocks.forEach((block, index) => {
    const { shape, size } = block.proj_out.weight;
    block.proj_out.weight.dispose();
    block.proj_out.weight = tf.tensor2d(
      scaled(foldIn(randomKey(2), index), size, 0.1 / Math.sqrt(config.channels)),
      shape,
    );
  });
  return flow;
}

function benchmarkInputs(config: FlowConfig, batch: number) {
  const key = randomKey(3);
  const { tokens, width } = sizesOf(config);
  const size = batch * tokens * width;
  return {
    images: scaled(foldIn(key, 'images'), size, 0.5),
    latents: normal(foldIn(key, 'latents'), size),
    labels: Int32Array.from({ length: batch }, (_, index) => index % config.classes),
  };
}

function scaled(key: RandomKey, size: number, deviation: number): Float32Array {
  return normal(key, size).map((value) => value * deviation);
}

function imageShape({ image }: FlowConfig, batch: number): number[] {
  return [batch, image.channels, image.height, image.width];
}

function latentShape(config: FlowConfig, batch: number): number[] {
  const { tokens, width } = sizesOf(config);
  return [batch, tokens, width];
}

function hostTensor(tensor: tf.Tensor): HostTensor {
  return { dtype: 'F32', shape: tensor.shape, data: tensor.dataSync() as Float32Array };
}

async function main(): Promise<void> {
  // What libraries print must not come between the answers.
  const answer = process.stdout.write.bind(process.stdout);
  process.stdout.write = process.stderr.write.bind(process.stderr) as never;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { command, ...request } = JSON.parse(line);
    let result: object;
    try {
      result = await commands[command as keyof typeof commands](request as never);
    } catch (error) {
      result = { error: error instanceof Error ? error.message : String(error) };
    }
    answer(`${JSON.stringify(result)}\n`);
  }
}

main();
