import { readFile } from 'node:fs/promises';
import { UserError } from '../backend/errors.js';
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
type Rule =
  | { error: 'elementwise'; atol: number; rtol: number }
  | { error: 'max'; atol: number; rtolOfMax?: number }
  | { error: 'relativeL2'; max: number; normFloor: number }
  | { error: 'either'; anyOf: Rule[] };

type TensorDescription = { shape: number[]; role: string; against?: string } & Partial<Rule>;

interface GoldenDescription {
  kind: string;
  config: {
    in_channels: number;
    img_size: number;
    patch_size: number;
    channels: number;
    head_dim: number;
    num_blocks: number;
    layers_per_block: number;
    num_classes: number;
    nvp: boolean;
  };
  sampling: {
    name: string;
    guidance: number;
    guide_what: Guidance['on'] & string;
    attn_temp: number;
    annealed: boolean;
  }[];
  denoise: { sigma: number; lr: number };
  tensors: Record<string, TensorDescription>;
}

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
  const description = await readDescription(file);
  const { tensors } = await readSafetensors(file);
  if (description.kind !== 'tarflow') {
    throw new UserError(
      `${file}: kind '${description.kind}' is not supported yet`,
      "Supported: 'tarflow'",
    );
  }
  const results = await runTarFlow(file, description, tensors);
  const rows: ConformRow[] = [];
  for (const [name, tensor] of Object.entries(description.tensors)) {
    if (tensor.role !== 'output') continue;
    const got = results[name];
    const reference = tensors[tensor.against ?? name];
    if (!got || !reference) {
      const note = got ? 'the file lacks it' : 'not computed';
      rows.push({ tensor: name, error: Number.NaN, bound: Number.NaN, pass: false, note });
      continue;
    }
    rows.push({ tensor: name, ...compare(got, reference.data, tensor as Rule) });
  }
  return rows;
}

async function readDescription(file: string): Promise<GoldenDescription> {
  const beside = file.replace(/\.safetensors$/, '.json');
  let text: string;
  try {
    text = await readFile(beside, 'utf8');
  } catch {
    throw new UserError(
      `${beside} cannot be read`,
      `A golden file has a JSON of the same name beside it that says how to compare`,
    );
  }
  try {
    const description = JSON.parse(text) as GoldenDescription;
    if (typeof description.kind !== 'string' || typeof description.tensors !== 'object') {
      throw new Error('no kind or tensors');
    }
    return description;
  } catch (error) {
    throw new UserError(
      `${beside} is not a golden description (${(error as Error).message})`,
      'Expected JSON with kind, config and tensors',
    );
  }
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
  const flow = publishedFlow(config, state, file);
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

  const x = floats('x') as tf.Tensor4D;
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
  const noise = floats('noise') as tf.Tensor3D;
  const z = tf.tensor3d(Float32Array.from(results.z as ArrayLike<number>), noise.shape);
  const reconstructed = await inverse(flow, z, y);
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
  const variance = tf.tensor2d(
    Float32Array.from(results['var.2'] as ArrayLike<number>),
    flow.variance.shape,
  );
  const scaled = tf.tidy(() => tf.mul(noise, tf.sqrt(variance))) as tf.Tensor3D;
  const varied = await inverse(flow, scaled, y);
  put('sample.var2_g0', varied);

  tf.tidy(() => {
    const noisy = floats('denoise.in') as tf.Tensor4D;
    const gradient = lossGradient(flow, noisy, y);
    put('denoise.grad', gradient);
    put('denoise.out', tf.sub(noisy, tf.mul(gradient, description.denoise.lr)));
  });

  tf.dispose([x, noise, z, reconstructed, plain, variance, scaled, varied]);
  disposeFlow(flow);
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
      const bound = rule.atol + (rule.rtolOfMax ?? 0) * largestReference;
      return { error: largest, bound, pass: largest <= bound };
    }
    case 'relativeL2': {
      const norm = Math.max(Math.sqrt(referenceSquare), rule.normFloor);
      const error = Math.sqrt(square) / norm;
      return { error, bound: rule.max, pass: error <= rule.max };
    }
    case 'either': {
      const outcomes = rule.anyOf.map((one) => compare(got, reference, one));
      const passed = outcomes.find((outcome) => outcome.pass);
      const chosen = passed ?? outcomes[0];
      return chosen ?? { error: Number.NaN, bound: Number.NaN, pass: false, note: 'no rule' };
    }
    default:
      return {
        error: Number.NaN,
        bound: Number.NaN,
        pass: false,
        note: `unknown rule ${String((rule as { error?: unknown }).error)}`,
      };
  }
}
