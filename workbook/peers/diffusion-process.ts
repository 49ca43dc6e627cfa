import { at } from '../../src/core/errors.js';
import { tf, tidy } from '../../src/core/tf.js';
import { halfLog2Pi } from '../../src/flow/density.js';

/**
 * What the network predicts, and by which process data become noise: x(t) = α·x + σ·ε for t from 0 to 1.
 *
 * - `epsilon`: the noise ε, of α = cos φ and σ = sin φ (Ho et al. 2020, arXiv 2006.11239; the cosine of Nichol
 *   and Dhariwal 2021, arXiv 2102.09672)
 * - `v`: α·ε − σ·x of the same process (Salimans and Ho 2022, arXiv 2202.00512)
 * - `flow`: ε − x of α = 1 − t and σ = t, a rectified flow (Liu et al. 2022, arXiv 2209.03003; Lipman et al.
 *   2022, arXiv 2210.02747)
 */
export const predictions = ['epsilon', 'v', 'flow'] as const;
export type PredictionKind = (typeof predictions)[number];

/** φ at t = 0 and t = 1: there α and σ are not 0, and noise and data can be told from each other. */
const angles = [1e-3, Math.PI / 2 - 8e-3] as const;

/** α and σ of a time, and their derivatives by it. */
export interface Mixing {
  signal: number;
  deviation: number;
  signalRate: number;
  deviationRate: number;
}

export function mixingAt(kind: PredictionKind, t: number): Mixing {
  if (kind === 'flow') return { signal: 1 - t, deviation: t, signalRate: -1, deviationRate: 1 };
  const range = angles[1] - angles[0];
  const angle = angles[0] + t * range;
  const [signal, deviation] = [Math.cos(angle), Math.sin(angle)];
  return { signal, deviation, signalRate: -range * deviation, deviationRate: range * signal };
}

/** What data x and noise ε are at a time, as sums `ofNoisy`·x(t) + `ofPrediction`·prediction. */
export function estimatesAt(kind: PredictionKind, t: number) {
  const { signal, deviation } = mixingAt(kind, t);
  if (kind === 'flow') return { data: [1, -t], noise: [1, 1 - t] } as const;
  if (kind === 'v') return { data: [signal, -deviation], noise: [deviation, signal] } as const;
  return { data: [1 / signal, -deviation / signal], noise: [0, 1] } as const;
}

/** Expected data and noise of noisy images x(t), each (batch, channels, height, width). */
export type Denoiser = (x: tf.Tensor4D, t: number) => { data: tf.Tensor4D; noise: tf.Tensor4D };

/** a·x + b·y of numbers a and b. */
export function combined(
  [a, b]: readonly [number, number],
  x: tf.Tensor4D,
  y: tf.Tensor4D,
): tf.Tensor4D {
  return tf.add(tf.mul(x, a), tf.mul(y, b));
}

/**
 * Samples by DDIM (Song et al. 2020, arXiv 2010.02502) without new noise: from x(t) to α(s)·x̂ + σ(s)·ε̂, in
 * steps of equal t from 1 to 0. For a rectified flow that is Euler's rule.
 *
 * @param noise x(1), which stays the caller's
 * @returns x(0), which the caller frees
 */
export function ddim(
  kind: PredictionKind,
  denoise: Denoiser,
  noise: tf.Tensor4D,
  steps: number,
): tf.Tensor4D {
  return stepped(noise, steps, (x, from, to) => {
    const { data, noise: found } = denoise(x, from);
    const { signal, deviation } = mixingAt(kind, to);
    return combined([signal, deviation], data, found);
  });
}

/**
 * Samples by Heun's rule on the probability-flow ODE dx/dt = α′·x̂ + σ′·ε̂ (Karras et al. 2022, arXiv
 * 2206.00364): two evaluations a step, and one in the last.
 */
export function heun(
  kind: PredictionKind,
  denoise: Denoiser,
  noise: tf.Tensor4D,
  steps: number,
): tf.Tensor4D {
  const slope = (x: tf.Tensor4D, t: number): tf.Tensor4D => {
    const { data, noise: found } = denoise(x, t);
    const { signalRate, deviationRate } = mixingAt(kind, t);
    return combined([signalRate, deviationRate], data, found);
  };
  return stepped(noise, steps, (x, from, to) => {
    const first = slope(x, from);
    const euler = combined([1, to - from], x, first);
    if (to === 0) return euler;
    return combined([1, (to - from) / 2], x, tf.add(first, slope(euler, to)));
  });
}

/** The same steps the other way, from images to the noise of which they are samples. */
export function ddimToNoise(
  kind: PredictionKind,
  denoise: Denoiser,
  images: tf.Tensor4D,
  steps: number,
): tf.Tensor4D {
  const back = (x: tf.Tensor4D, from: number, to: number) => {
    const { data, noise } = denoise(x, 1 - from);
    const { signal, deviation } = mixingAt(kind, 1 - to);
    return combined([signal, deviation], data, noise);
  };
  return stepped(images, steps, back);
}

function stepped(
  start: tf.Tensor4D,
  steps: number,
  step: (x: tf.Tensor4D, from: number, to: number) => tf.Tensor4D,
): tf.Tensor4D {
  let x = start;
  for (let i = steps; i > 0; i--) {
    const next = tidy(() => step(x, i / steps, (i - 1) / steps));
    if (x !== start) x.dispose();
    x = next;
  }
  return x;
}

/** dx/dt (batch, …) of an ODE at a time, and its divergence (batch) or an estimate of that. */
export type Dynamics = (
  x: tf.Tensor4D,
  t: number,
) => { velocity: tf.Tensor4D; divergence: tf.Tensor1D };

/** The classical rule of Runge and Kutta: where in a step each stage is, and its weight. */
const stages = [
  { place: 0, weight: 1 / 6 },
  { place: 1 / 2, weight: 1 / 3 },
  { place: 1 / 2, weight: 1 / 3 },
  { place: 1, weight: 1 / 6 },
] as const;

/**
 * log p(x) where the ODE takes x at t = 0 to standard normal noise at t = 1: log N(x(1)) + ∫ ∇·v dt (Chen et
 * al. 2018, arXiv 1806.07366), by the rule of Runge and Kutta in equal steps.
 *
 * @returns (batch), in nats; the caller frees it
 */
export function odeLogProb(dynamics: Dynamics, images: tf.Tensor4D, steps: number): tf.Tensor1D {
  const h = 1 / steps;
  let [x, sum] = [images, tf.zeros([images.shape[0]])];
  for (let i = 0; i < steps; i++) {
    const next = tidy(() => {
      const found: ReturnType<Dynamics>[] = [];
      for (const { place } of stages) {
        const last = found.at(-1);
        const reached = last ? combined([1, place * h], x, last.velocity) : x;
        found.push(dynamics(reached, (i + place) * h));
      }
      const mean = <T extends tf.Tensor>(of: (found: ReturnType<Dynamics>) => T): T =>
        tf.addN(found.map((one, stage) => tf.mul(of(one), h * at(stages, stage).weight)));
      return {
        x: tf.add(
          x,
          mean(({ velocity }) => velocity),
        ),
        sum: tf.add(
          sum,
          mean(({ divergence }) => divergence),
        ),
      };
    });
    if (x !== images) x.dispose();
    sum.dispose();
    ({ x, sum } = next);
  }
  const found = tidy(() => {
    const size = images.size / images.shape[0];
    const squares = tf.sum(tf.square(x), [1, 2, 3]);
    return tf.sub(sum, tf.add(tf.mul(squares, 0.5), halfLog2Pi * size));
  });
  tf.dispose([sum, ...(x === images ? [] : [x])]);
  return found;
}
