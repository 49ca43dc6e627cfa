import { z } from 'zod';
import { UserError } from '../backend/errors.js';
import { readBytes } from '../backend/files.js';
import { tf } from '../backend/tf.js';
import { type Leaves, leaves, valueAndGradient, withLeaves } from '../backend/tree.js';
import { type FlowConfig, tokenCount, tokenWidth } from '../flow/config.js';
import { classMixture } from '../flow/labels.js';
import { patchify, unpatchify } from '../flow/patches.js';
import { publishedFlow } from '../flow/state-dict.js';
import {
  disposeFlow,
  type ForwardResult,
  flowLoss,
  forward,
  forwardTokens,
  type TarFlow,
  updatedVariance,
} from '../flow/tarflow.js';
import { type HostTensor, readSafetensors } from '../formats/safetensors.js';
import { lossGradient } from '../sampling/denoise.js';
import type { Guidance } from '../sampling/guidance.js';
import { inverse } from '../sampling/inverse.js';
import { adamWInit, adamWUpdate, biasCorrections } from '../training/adamw.js';
import { bitsPerDimension } from './bits-per-dimension.js';

/** How one output must agree with the file, as the JSON beside it says. */
const simpleRule = z.discriminatedUnion('error', [
  z.object({ error: z.literal('elementwise'), atol: z.number(), rtol: z.number() }),
  z.object({ error: z.literal('max'), atol: z.number(), rtolOfMax: z.number().default(0) }),
  z.object({ error: z.literal('relativeL2'), max: z.number(), normFloor: z.number() }),
]);
const ruleSchema = z.discriminatedUnion('error', [
  ...simpleRule.options,
  z.object({ error: z.literal('either'), anyOf: z.array(simpleRule).min(1) }),
]);
export type Rule = z.infer<typeof ruleSchema>;

/** What every golden file's JSON has; the rules are read one by one, since weights have none. */
const goldenSchema = z.object({
  kind: z.string(),
  tensors: z.record(
    z.string(),
    z.looseObject({
      role: z.enum(['weight', 'input', 'output']),
      shape: z.array(z.number()),
      against: z.string().optional(),
    }),
  ),
});

const tarflowSchema = goldenSchema.extend({
  config: z.object({
    in_channels: z.number(),
    img_size: z.number(),
    patch_size: z.number(),
    channels: z.number(),
    head_dim: z.number(),
    num_blocks: z.number(),
    layers_per_block: z.number(),
    num_classes: z.number(),
    nvp: z.boolean(),
  }),
  sampling: z.array(
    z.object({
      name: z.string(),
      guidance: z.number(),
      guide_what: z.enum(['a', 'b', 'ab']),
      attn_temp: z.number(),
      annealed: z.boolean(),
    }),
  ),
  denoise: z.object({ lr: z.number() }),
});
type GoldenDescription = z.infer<typeof tarflowSchema>;

/** One line of a conformance report. */
export interface ConformRow {
  tensor: string;
  /** The rule's measure of the error: NaN where nothing was computed to compare. */
  error: number;
  bound: number;
  pass: boolean;
  /** Why a row fails without a number. */
  note?: string;
}

/**
 * Runs the library on a golden file's weights and inputs and compares every tensor whose role is
 * `output` by the rule in the JSON beside it.
 *
 * @param file path of the .safetensors; its .json lies beside it
 * @returns a row for every output, also for those that could not be computed
 * @throws UserError for a file that is missing, damaged or of a kind that is not supported
 */
export async function conform(file: string): Promise<ConformRow[]> {
  if (!file.endsWith('.safetensors')) {
    throw new UserError(`The golden file is ${file}`, 'Expected a name that ends in .safetensors');
  }
  const { tensors } = await readSafetensors(file);
  const beside = file.replace(/\.safetensors$/, '.json');
  const json = await readJson(beside);
  const { kind } = parsed(goldenSchema, json, beside);
  if (kind !== 'tarflow') {
    throw new UserError(`${file}: kind '${kind}' is not supported yet`, "Supported: 'tarflow'");
  }
  const description = parsed(tarflowSchema, json, beside);
  const results = await runTarFlow(file, description, tensors);
  return Object.entries(description.tensors)
    .filter(([, { role }]) => role === 'output')
    .map(([name, tensor]) => {
      const failed = (note: string): ConformRow => ({
        tensor: name,
        error: Number.NaN,
        bound: Number.NaN,
        pass: false,
        note,
      });
      const got = results[name];
      if (!got) return failed('not computed');
      const reference = tensors[tensor.against ?? name];
      if (!reference) return failed('the file lacks it');
      const rule = ruleSchema.safeParse(tensor);
      if (!rule.success) return failed('its rule is not one of howToCheck');
      return { tensor: name, ...compare(got, reference.data, rule.data) };
    });
}

async function readJson(file: string): Promise<unknown> {
  const text = Buffer.from(await readBytes(file)).toString('utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(
      `${file} is not JSON (${(error as Error).message})`,
      'It is damaged: take the golden file and its JSON anew',
    );
  }
}

function parsed<T>(schema: z.ZodType<T>, json: unknown, file: string): T {
  const { data, error } = schema.safeParse(json);
  if (!error) return data;
  const [issue] = error.issues;
  throw new UserError(
    `${file} does not describe a golden file (${[...(issue?.path ?? []).map(String), issue?.message].join(': ')})`,
    'It is damaged: take the golden file and its JSON anew',
  );
}

type Results = Record<string, ArrayLike<number>>;

async function runTarFlow(
  file: string,
  description: GoldenDescription,
  tensors: Record<string, HostTensor>,
): Promise<Results> {
  const published = description.config;
  const config: FlowConfig = {
    image: {
      channels: published.in_channels,
      height: published.img_size,
      width: published.img_size,
    },
    patchSize: published.patch_size,
    channels: published.channels,
    blocks: published.num_blocks,
    layersPerBlock: published.layers_per_block,
    headWidth: published.head_dim,
    classes: published.num_classes,
    volumePreserving: !published.nvp,
  };
  const state = Object.fromEntries(
    Object.entries(tensors)
      .filter(([name]) => name.startsWith('sd.'))
      .map(([name, tensor]) => [name.slice(3), tensor]),
  );
  const owned: tf.Tensor[] = [];
  const flow = publishedFlow(config, state, file);
  try {
    return await tarflowOutputs(flow, file, description, tensors, (tensor) => {
      owned.push(tensor);
      return tensor;
    });
  } finally {
    tf.dispose(owned);
    disposeFlow(flow);
  }
}

/**
 * Everything that a file of kind `tarflow` can ask for, by the names of its outputs.
 *
 * @param own takes charge of a tensor, and returns it
 */
async function tarflowOutputs(
  flow: TarFlow,
  file: string,
  description: GoldenDescription,
  tensors: Record<string, HostTensor>,
  own: <T extends tf.Tensor>(tensor: T) => T,
): Promise<Results> {
  const { config } = flow;
  const results: Results = {};
  const put = (name: string, tensor: tf.Tensor): void => {
    results[name] = tensor.dataSync().slice();
  };
  const input = (name: string): HostTensor => {
    const tensor = tensors[name];
    if (!tensor) throw new UserError(`${file} lacks the input ${name}`, 'Take a complete file');
    return tensor;
  };
  const floats = (name: string): tf.Tensor =>
    tf.tensor(Float32Array.from(input(name).data), input(name).shape);
  const labels = (name: string): Int32Array | undefined =>
    config.classes > 0 ? Int32Array.from(input(name).data) : undefined;

  const x = own(floats('x')) as tf.Tensor4D;
  const y = labels('y');
  const dropped = config.classes > 0 ? labels('y_drop') : undefined;
  const size = tokenCount(config) * tokenWidth(config);
  // The published code reports log-determinants per dimension.
  const perDimension = (logDet: tf.Tensor): tf.Tensor => tf.div(logDet, size);

  tf.tidy(() => {
    put('patches', patchify(config, x));
    const result = forward(flow, x, y);
    const { loss } = flowLoss(flow, result);
    putForward(result, '', '');
    result.outputs.forEach((output, i) => {
      put(`out.${i}`, output);
      put(`out_logdet.${i}`, perDimension(result.logDets[i] as tf.Tensor));
    });
    const bpd = bitsPerDimension(flow, x, y);
    put('loss', loss);
    put('loss64', loss);
    put('bpd', bpd);
    put('bpd64', bpd);
    putForward(result, '', '64');

    const absent = forward(flow, x);
    putForward(absent, '_null', '');
    const some = forward(flow, x, dropped);
    putForward(some, '_drop', '');
    putForward(some, '_drop', '64');
    if (description.tensors.jac_logabsdet64_sample0) {
      put('jac_logabsdet64_sample0', tf.div(denseLogDet(flow, x, y), size));
    }

    const first = updatedVariance(flow.variance, result.z);
    put('var.1', first);
    put('var.2', updatedVariance(first, absent.z));

    const trained = leaves(flow.parameters);
    const { value, gradient } = trainingGradient(flow, trained, x, dropped);
    put('loss_drop', value);
    put('loss_drop64', value);
    for (const [name, tensor] of Object.entries(gradient)) put(`grad.${name}`, tensor);
    const gx = lossGradient(flow, x, dropped);
    put('gx', gx);
    put('gx64', gx);

    function putForward(outcome: ForwardResult, kind: string, precision: string): void {
      put(`z${kind}${precision}`, outcome.z);
      put(`logdet${kind}${precision}`, perDimension(outcome.logDet));
    }
  });

  runTraining(flow, x, dropped, put);

  // Noise that the file gives is used as it is: the prior's deviation is applied where it says so.
  const noise = own(floats('noise')) as tf.Tensor3D;
  const z = own(tf.tensor3d(Float32Array.from(results.z as ArrayLike<number>), noise.shape));
  const reconstructed = own(await inverse(flow, z, y));
  put('recon', reconstructed);
  put('recon64', reconstructed);
  tf.tidy(() => put('seq.0', unpatchify(config, noise)));
  let sequence = 0;
  const plain = await inverse(flow, noise, y, {
    onBlock: (tokens) => {
      sequence++;
      tf.tidy(() => put(`seq.${sequence}`, unpatchify(config, tokens)));
    },
  });
  own(plain);
  for (const run of description.sampling) {
    const images = await inverse(flow, noise, y, {
      guidance: {
        weight: run.guidance,
        on: run.guide_what,
        temperature: run.attn_temp,
        annealed: run.annealed,
      },
    });
    put(run.name, images);
    images.dispose();
  }
  const variance = own(
    tf.tensor2d(Float32Array.from(results['var.2'] as ArrayLike<number>), flow.variance.shape),
  );
  const scaled = own(tf.tidy(() => tf.mul(noise, tf.sqrt(variance)) as tf.Tensor3D));
  const varied = own(await inverse(flow, scaled, y));
  put('sample.var2_g0', varied);

  tf.tidy(() => {
    const noisy = floats('denoise.in') as tf.Tensor4D;
    const gradient = lossGradient(flow, noisy, y);
    put('denoise.grad', gradient);
    put('denoise.out', tf.sub(noisy, tf.mul(gradient, description.denoise.lr)));
  });

  return results;
}

/** The training loss and its gradient with respect to every parameter. */
function trainingGradient(
  flow: TarFlow,
  parameters: Leaves,
  x: tf.Tensor4D,
  label: Int32Array | undefined,
): { value: tf.Scalar; gradient: Leaves } {
  const { config } = flow;
  return valueAndGradient((current) => {
    const moved = { ...flow, parameters: withLeaves(flow.parameters, current) };
    const classes = classMixture(config, label, x.shape[0]);
    const result = forwardTokens(moved, patchify(config, x), classes);
    return { value: flowLoss(moved, result).loss, auxiliary: {} };
  }, parameters);
}

/** Five AdamW steps at a constant rate of 1e-3: the losses before each, and after the last. */
function runTraining(
  flow: TarFlow,
  x: tf.Tensor4D,
  label: Int32Array | undefined,
  put: (name: string, tensor: tf.Tensor) => void,
): void {
  tf.tidy(() => {
    let parameters = leaves(flow.parameters);
    let moments: { first: Leaves; second: Leaves } = adamWInit(parameters);
    const losses: tf.Scalar[] = [];
    for (let t = 1; t <= 5; t++) {
      const { value, gradient } = trainingGradient(flow, parameters, x, label);
      losses.push(value);
      const updated = adamWUpdate(parameters, gradient, moments, 1e-3, biasCorrections(t));
      parameters = updated.parameters;
      moments = updated;
    }
    losses.push(trainingGradient(flow, parameters, x, label).value);
    put('train.losses', tf.stack(losses));
    for (const [name, tensor] of Object.entries(parameters)) put(`train.w.${name}`, tensor);
  });
}

/** log |det dz/dx| of the first sample from its dense Jacobian, one backward pass per row. */
function denseLogDet(flow: TarFlow, x: tf.Tensor4D, label: Int32Array | undefined): tf.Scalar {
  return tf.tidy(() => {
    const { config } = flow;
    const first = tf.slice(x, [0, 0, 0, 0], [1, -1, -1, -1]) as tf.Tensor4D;
    const classes = classMixture(config, label?.slice(0, 1), 1);
    const size = tokenCount(config) * tokenWidth(config);
    const row = tf.grad((tokens) => forwardTokens(flow, tokens as tf.Tensor3D, classes).z);
    const tokens = patchify(config, first);
    const jacobian: Float64Array[] = [];
    for (let i = 0; i < size; i++) {
      jacobian.push(
        tf.tidy(() => {
          const unit = new Float32Array(size);
          unit[i] = 1;
          const dy = tf.tensor(unit, tokens.shape);
          return Float64Array.from(row(tokens, dy).dataSync()) as never;
        }) as unknown as Float64Array,
      );
    }
    return tf.scalar(logAbsDeterminant(jacobian));
  });
}

/** log |det| of a square matrix given by rows, by Gaussian elimination; overwrites the rows. */
function logAbsDeterminant(rows: Float64Array[]): number {
  let sum = 0;
  for (let k = 0; k < rows.length; k++) {
    let pivot = k;
    for (let i = k + 1; i < rows.length; i++) {
      if (Math.abs(rows[i]![k]!) > Math.abs(rows[pivot]![k]!)) pivot = i;
    }
    const top = rows[pivot]!;
    rows[pivot] = rows[k]!;
    rows[k] = top;
    sum += Math.log(Math.abs(top[k]!));
    for (let i = k + 1; i < rows.length; i++) {
      const row = rows[i]!;
      const factor = row[k]! / top[k]!;
      for (let j = k; j < rows.length; j++) row[j]! -= factor * top[j]!;
    }
  }
  return sum;
}

/** Compares by a rule. The error reported is the largest excess measure, the bound its limit. */
export function compare(
  got: ArrayLike<number>,
  reference: ArrayLike<number>,
  rule: Rule,
): Omit<ConformRow, 'tensor'> {
  if (got.length !== reference.length) {
    const note = `expected ${reference.length} numbers, got ${got.length}`;
    return { error: Number.NaN, bound: Number.NaN, pass: false, note };
  }
  let [largest, square, referenceSquare, largestReference] = [0, 0, 0, 0];
  let elementwise = { error: 0, bound: 0, excess: Number.NEGATIVE_INFINITY };
  for (let i = 0; i < got.length; i++) {
    const value = reference[i] as number;
    const error = Math.abs((got[i] as number) - value);
    // A non-finite number on either side is never within a bound.
    if (!Number.isFinite(error)) {
      return { error: error, bound: Number.NaN, pass: false, note: 'not finite' };
    }
    largest = Math.max(largest, error);
    largestReference = Math.max(largestReference, Math.abs(value));
    square += error * error;
    referenceSquare += value * value;
    if (rule.error === 'elementwise') {
      const bound = rule.atol + rule.rtol * Math.abs(value);
      if (error - bound > elementwise.excess) elementwise = { error, bound, excess: error - bound };
    }
  }
  switch (rule.error) {
    case 'elementwise':
      return {
        error: elementwise.error,
        bound: elementwise.bound,
        pass: elementwise.error <= elementwise.bound,
      };
    case 'max': {
      const bound = rule.atol + rule.rtolOfMax * largestReference;
      return { error: largest, bound, pass: largest <= bound };
    }
    case 'relativeL2': {
      const norm = Math.max(Math.sqrt(referenceSquare), rule.normFloor);
      const error = Math.sqrt(square) / norm;
      return { error, bound: rule.max, pass: error <= rule.max };
    }
    case 'either': {
      const outcomes = rule.anyOf.map((one) => compare(got, reference, one));
      return outcomes.find(({ pass }) => pass) ?? (outcomes[0] as Omit<ConformRow, 'tensor'>);
    }
  }
}
