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
  /** Which pixels move (1, 1, height, width), booleans. */
  free: tf.Tensor4D;
  /** Proposals that adapt the length of leapfrog steps, and as many after them. */
  steps: number;
  /** The length of leapfrog steps at first. */
  stepSize: number;
  key: RandomKey;
  /** Awaited after each proposal. */
  onProposal(done: number): Promise<void>;
}

/** Leapfrog steps in a proposal. */
const leapfrog = 5;
/** The best share of accepted proposals (Beskos et al. 2013, arXiv 1001.4460). */
const target = 0.65;

/**
 * Hamiltonian Monte Carlo (Neal 2011, arXiv 1206.1901), chains side by side, each with steps of its own
 * length. Once steps are adapted the density is the limit of their distribution.
 *
 * @returns the last states, which the caller frees, and the share of proposals that each chain accepted once
 *   its steps were adapted
 */
export async function hamiltonian(
  start: tf.Tensor4D,
  density: (x: tf.Tensor4D) => Omit<ChainStates, 'x'>,
  { steps, stepSize, ...options }: HamiltonianOptions,
): Promise<ChainStates & { acceptance: number[] }> {
  const [chains] = start.shape;
  const lengths = new Array<number>(chains).fill(stepSize);
  const accepted = new Array<number>(chains).fill(0);
  let states: ChainStates = { x: start.clone(), ...density(start) };
  try {
    for (let proposal = 0; proposal < 2 * steps; proposal++) {
      const key = foldIn(options.key, proposal);
      const drawn = uniform(foldIn(key, 'accept'), chains);
      const { next, chances } = tidy(() => {
        const length = tf.tensor4d(lengths, [chains, 1, 1, 1]);
        const moving = (x: tf.Tensor4D): tf.Tensor4D => tf.where(options.free, x, tf.zerosLike(x));
        const kicked = (momenta: tf.Tensor4D, { score }: ChainStates): tf.Tensor4D =>
          tf.add(momenta, tf.mul(moving(score), tf.mul(length, 0.5)));
        const energy = (momenta: tf.Tensor4D, { logProb }: ChainStates): tf.Tensor1D =>
          tf.sub(tf.mul(tf.sum(tf.square(momenta), [1, 2, 3]), 0.5), logProb);
        const first = moving(tf.tensor4d(normal(foldIn(key, 'momenta'), start.size), start.shape));
        let [momenta, moved] = [first, states];
        for (let i = 0; i < leapfrog; i++) {
          momenta = kicked(momenta, moved);
          const x = tf.add(moved.x, tf.mul(momenta, length));
          moved = { x, ...density(x) };
          momenta = kicked(momenta, moved);
        }
        const gain = tf.sub(energy(first, states), energy(momenta, moved)).dataSync();
        // An orbit that diverged is refused.
        const chances = Array.from(gain, (value) => Math.exp(Math.min(0, value)) || 0);
        const taken = tf.tensor1d(
          chances.map((chance, i) => drawn[i]! < chance),
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
      tf.dispose(Object.values(states));
      states = next;
      chances.forEach((chance, i) => {
        if (proposal < steps) lengths[i]! *= Math.exp(0.3 * (chance - target));
        else if (drawn[i]! < chance) accepted[i]!++;
      });
      await options.onProposal(proposal + 1);
    }
    return { ...states, acceptance: accepted.map((count) => count / steps) };
  } catch (error) {
    tf.dispose(Object.values(states));
    throw error;
  }
}
