import { foldIn, normal, type RandomKey, uniform } from '../core/random.js';
import { tf, tidy } from '../core/tf.js';

/** Images (chains, channels, height, width), their log-density but for a constant, in nats, and its gradient. */
export interface ChainStates {
  x: tf.Tensor4D;
  logProb: tf.Tensor1D;
  score: tf.Tensor4D;
}

/** How chains are run. */
export interface HamiltonianOptions {
  start: tf.Tensor4D;
  /** Which numbers move (1, channels, height, width), booleans. */
  free: tf.Tensor4D;
  density(x: tf.Tensor4D): Omit<ChainStates, 'x'>;
  /** Proposals in which steps are adapted, and after that those in which they are not. */
  warmUp: number;
  steps: number;
  /** Leapfrog steps in a proposal; 1 is the Metropolis-adjusted Langevin algorithm. */
  leapfrog: number;
  /** Length of a leapfrog step at first. */
  stepSize: number;
  /** What the log-density is multiplied by in a proposal of the warm-up; after it 1. */
  inverseTemperature(proposal: number): number;
  key: RandomKey;
  /** Awaited after each proposal. */
  onProposal(done: number): Promise<void>;
}

/** The best share of accepted proposals (Beskos et al. 2013; for one leapfrog step it is 0.57). */
const target = 0.65;

/**
 * Hamiltonian Monte Carlo (Neal 2011, arXiv 1206.1901), chains side by side, each with steps of its own
 * length. After the warm-up the density is the limit of their distribution.
 *
 * @returns the last states, which the caller frees, and the share of proposals after the warm-up that each
 *   chain accepted
 */
export async function hamiltonian(
  options: HamiltonianOptions,
): Promise<ChainStates & { acceptance: number[] }> {
  const { start, free, density, warmUp, leapfrog } = options;
  const [chains] = start.shape;
  const stepSizes = new Array<number>(chains).fill(options.stepSize);
  const accepted = new Array<number>(chains).fill(0);
  let states: ChainStates = { x: start.clone(), ...density(start) };
  try {
    for (let proposal = 0; proposal < warmUp + options.steps; proposal++) {
      const beta = proposal < warmUp ? options.inverseTemperature(proposal) : 1;
      const key = foldIn(options.key, proposal);
      const drawn = uniform(foldIn(key, 'accept'), chains);
      const { next, chances } = tidy(() => {
        const step = tf.tensor4d(stepSizes, [chains, 1, 1, 1]);
        const kicked = (momenta: tf.Tensor4D, { score }: ChainStates): tf.Tensor4D =>
          tf.add(
            momenta,
            tf.mul(tf.where(free, score, tf.zerosLike(score)), tf.mul(step, beta / 2)),
          );
        const energy = (momenta: tf.Tensor4D, { logProb }: ChainStates): tf.Tensor1D =>
          tf.sub(tf.mul(tf.sum(tf.square(momenta), [1, 2, 3]), 0.5), tf.mul(logProb, beta));
        const values = normal(foldIn(key, 'momenta'), start.size);
        const any = tf.tensor4d(values, start.shape);
        const first = tf.where(free, any, tf.zerosLike(any));
        let [momenta, moved] = [first, states];
        for (let i = 0; i < leapfrog; i++) {
          momenta = kicked(momenta, moved);
          const x = tf.add(moved.x, tf.mul(momenta, step));
          moved = { x, ...density(x) };
          momenta = kicked(momenta, moved);
        }
        const gain = tf.sub(energy(first, states), energy(momenta, moved)).dataSync();
        // An orbit that diverged is refused.
        const chances = Array.from(gain, (value) => Math.exp(Math.min(0, value)) || 0);
        const taken = tf.tensor1d(
          chances.map((one, chain) => drawn[chain]! < one),
          'bool',
        );
        const wide: tf.Tensor4D = tf.reshape(taken, [chains, 1, 1, 1]);
        const next: ChainStates = {
          x: tf.where(wide, moved.x, states.x),
          logProb: tf.where(taken, moved.logProb, states.logProb),
          score: tf.where(wide, moved.score, states.score),
        };
        return { next, chances };
      });
      tf.dispose([states.x, states.logProb, states.score]);
      states = next;
      chances.forEach((chance, chain) => {
        if (proposal < warmUp) stepSizes[chain]! *= Math.exp(0.1 * (chance - target));
        else if (drawn[chain]! < chance) accepted[chain]!++;
      });
      await options.onProposal(proposal + 1);
    }
    return { ...states, acceptance: accepted.map((count) => count / options.steps) };
  } catch (error) {
    tf.dispose([states.x, states.logProb, states.score]);
    throw error;
  }
}
