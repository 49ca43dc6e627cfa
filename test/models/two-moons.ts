import { foldIn, normal, type RandomKey, uniform } from '../../src/core/random.js';

/** Standard deviation of the noise around the arcs. */
const sigma = 0.15;

/** Points of the two half circles that the moons lie around, by the angle from 0 to π. */
const arcs: readonly ((angle: number) => readonly [number, number])[] = [
  (angle) => [Math.cos(angle) - 0.5, Math.sin(angle) - 0.25],
  (angle) => [0.5 - Math.cos(angle), 0.25 - Math.sin(angle)],
];

/** Points of the plane from two interleaved half circles with noise, two numbers each. */
export function twoMoons(key: RandomKey, count: number): Float32Array {
  const places = uniform(foldIn(key, 'places'), 2 * count);
  return normal(foldIn(key, 'noise'), 2 * count).map((noise, i) => {
    const point = i - (i % 2);
    const arc = arcs[Math.floor(2 * (places[point] as number))] as (typeof arcs)[number];
    return arc(Math.PI * (places[point + 1] as number))[(i % 2) as 0 | 1] + sigma * noise;
  });
}

/** The logarithm of the density of {@link twoMoons}, in nats, by the trapezoid rule over the angle. */
export function twoMoonsLogDensity(x: number, y: number): number {
  const pieces = 400;
  let sum = 0;
  for (const arc of arcs) {
    for (let i = 0; i <= pieces; i++) {
      const [u, v] = arc((Math.PI * i) / pieces);
      const weight = i === 0 || i === pieces ? 0.5 : 1;
      sum += weight * Math.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma ** 2));
    }
  }
  return Math.log(sum / (2 * pieces)) - Math.log(2 * Math.PI * sigma ** 2);
}
