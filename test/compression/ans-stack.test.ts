import { describe, expect, test } from 'vitest';
import { AnsStack, CodingError } from '../../src/compression/ans-stack.js';
import {
  Bins,
  denormalise,
  latentCells,
  normalise,
  PixelNoise,
} from '../../src/compression/cells.js';
import { foldIn, integers, normal, randomKey, uniform } from '../../src/core/index.js';

const key = randomKey(7);

describe('the coder', () => {
  test('what was pushed is popped, whatever the frequencies, and what was popped is put back', () => {
    for (let round = 0; round < 1000; round++) {
      const own = foldIn(key, `round ${round}`);
      const [count = 0, length = 0, skew = 0] = integers(own, 3, 1, 60);
      const weights = Array.from(uniform(own, count), (u) => u ** skew + 1e-9);
      const frequencies = new Bins(0, 1, weights);
      const sizes = integers(foldIn(own, 'sizes'), length, 1, 2 ** 24 + 1);
      const kinds = integers(foldIn(own, 'kinds'), length, 0, 4);
      const shares = uniform(foldIn(own, 'values'), length);
      const stack = new AnsStack();
      const before = stack.bytes();
      const popped: number[] = [];
      for (const [i, kind] of kinds.entries()) {
        if (kind === 0) frequencies.push(stack, Math.floor(shares[i]! * count));
        else if (kind === 1) stack.pushUniform(Math.floor(shares[i]! * sizes[i]!), sizes[i]!);
        else popped.push(kind === 2 ? frequencies.pop(stack) : stack.popUniform(sizes[i]!));
      }
      const whole = AnsStack.of(stack.bytes());
      for (let i = length - 1; i >= 0; i--) {
        const kind = kinds[i]!;
        if (kind === 0) expect(frequencies.pop(whole)).toBe(Math.floor(shares[i]! * count));
        else if (kind === 1) {
          expect(whole.popUniform(sizes[i]!)).toBe(Math.floor(shares[i]! * sizes[i]!));
        } else if (kind === 2) frequencies.push(whole, popped.pop()!);
        else whole.pushUniform(popped.pop()!, sizes[i]!);
      }
      // But for what was lent, which lies below.
      const left = whole.bytes();
      expect(left.length).toBe(before.length + stack.borrowedBits / 8);
      expect(left.subarray(-before.length)).toEqual(before);
    }
  });

  test('symbols take as many bits as their frequencies say', () => {
    const weights = [90, 7, 2, 0.9, 0.1];
    const frequencies = new Bins(0, 1, weights);
    const stack = new AnsStack();
    let bits = 0;
    for (const u of uniform(key, 20_000)) {
      let symbol = 0;
      for (let rest = u * 100 - weights[0]!; rest > 0 && symbol < 4; rest -= weights[symbol]!)
        symbol++;
      frequencies.push(stack, symbol);
      bits -= Math.log2(weights[symbol]! / 100);
    }
    expect(8 * stack.bytes().length).toBeGreaterThan(bits);
    expect(8 * stack.bytes().length).toBeLessThan(1.0005 * bits + 64);
  });

  test('a stack that was written lends nothing, and other bytes are no stack', () => {
    const written = AnsStack.of(new AnsStack().bytes());
    expect(() => written.popUniform(2 ** 20)).toThrow(CodingError);
    for (const bytes of [[], [1, 2, 3, 4, 5], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 9]]) {
      expect(() => AnsStack.of(Uint8Array.from(bytes))).toThrow(CodingError);
    }
  });
});

describe('cells', () => {
  const few = Array.from(normal(key, 400), (value, i) => Math.round(value * 10 ** (i % 8)) + 0);

  test('are scaled one to one, with as many bits more as the scale says', () => {
    const stack = new AnsStack();
    const before = stack.bytes();
    const means = normal(foldIn(key, 'means'), few.length);
    const scales = Array.from(normal(foldIn(key, 'scales'), few.length), (value, i) =>
      i % 10 === 0 ? 20 * value : 3 * value,
    );
    const scaled = few.map((cell, i) => normalise(stack, cell, means[i]!, scales[i]!));
    for (let i = few.length - 1; i >= 0; i--) {
      expect(denormalise(stack, scaled[i]!, means[i]!, scales[i]!)).toBe(few[i]);
    }
    expect(stack.bytes().subarray(-before.length)).toEqual(before);

    const long = new AnsStack();
    for (let i = 0; i < 5000; i++) normalise(long, few[i % 400]! % 1e5, 0.3, 2);
    const bits = 8 * (long.bytes().length - before.length) - long.borrowedBits;
    expect(bits / 5000).toBeCloseTo(2 / Math.LN2, 2);
    expect(() => normalise(long, 1, Number.NaN, 0)).toThrow(/not finite/);
    expect(() => normalise(long, 1, 0, Number.POSITIVE_INFINITY)).toThrow(/not finite/);
    expect(() => normalise(long, 1, 1e30, 0)).toThrow(/too large/);
  });

  test('of latents come back, near 0 or far', () => {
    const stack = new AnsStack();
    const near = few.map((cell) => cell % 2 ** 23);
    for (const cell of near) latentCells.push(stack, cell);
    for (const cell of [...near].reverse()) expect(latentCells.pop(stack)).toBe(cell);
    for (const far of [2 ** 23, -(2 ** 23) - 1, Number.NaN]) {
      expect(() => latentCells.push(stack, far)).toThrow(CodingError);
    }
  });

  test.each([undefined, 0, 255] as const)('of grey levels with the background %s', (background) => {
    const noise = new PixelNoise(background);
    const stack = new AnsStack();
    const levels = Array.from({ length: 2048 }, (_, i) => (i * 37) % 256);
    const drawn = levels.map((level) => noise.draw(stack, level));
    for (let i = levels.length - 1; i >= 0; i--) {
      expect(noise.putBack(stack, drawn[i]!)).toBe(levels[i]);
    }
    for (const cell of [-1e6, 1e6]) {
      expect(() => noise.putBack(stack, cell)).toThrow(CodingError);
    }
  });
});
