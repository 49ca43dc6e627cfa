import { foldIn, integers, randomKey } from '../core/random.js';

/** The frequencies of all symbols together. */
export const allFrequencies = 2 ** 24;
/** States are from this number up to 2¹⁶ times it: words of 16 bits leave them and come back. */
const leastState = 2 ** 32;
const wordSize = 2 ** 16;
/** Words that a state is written as. */
const stateWords = 3;

/** What is popped is not there, or a number is beyond what is coded here. */
export class CodingError extends RangeError {}

/**
 * A message as a stack, coded by asymmetric numeral systems (rANS; Duda 2013, arXiv 1311.2540): what was
 * pushed last is popped first. A symbol adds −log₂(frequency/2²⁴) bits. Popping a symbol that nobody pushed
 * draws it by the frequencies given and takes as many bits away, which pushing it puts back: bits back. A
 * new stack lends words that were made up where it has none. All arithmetic is on whole numbers below 2⁵³,
 * which doubles hold exactly.
 */
export class AnsStack {
  private state = leastState;
  private words: number[] = [];
  private lends = true;
  private borrowedWords = 0;

  /**
   * A stack as {@link bytes} wrote it, which lends nothing.
   * @throws CodingError for other bytes
   */
  static of(bytes: Uint8Array): AnsStack {
    const stack = new AnsStack();
    if (bytes.length < 2 * stateWords || bytes.length % 2 !== 0) throw new CodingError('no stack');
    stack.words = Array.from(new Uint16Array(Uint8Array.from(bytes).buffer));
    stack.lends = false;
    stack.state = 0;
    for (let i = 0; i < stateWords; i++) stack.state = stack.state * wordSize + stack.popWord();
    if (stack.state < leastState) throw new CodingError('no state of a stack');
    return stack;
  }

  /** Bits that were lent. */
  get borrowedBits(): number {
    return 16 * this.borrowedWords;
  }

  /** All of the stack, its top at the end. */
  bytes(): Uint8Array {
    const { state } = this;
    const [middle, high] = [Math.floor(state / wordSize), Math.floor(state / leastState)];
    const words = [state, middle, high].map((word) => word % wordSize);
    return new Uint8Array(Uint16Array.from([...this.words, ...words]).buffer);
  }

  /** Pushes a symbol, which has the places from `start` on, as many as its frequency. */
  push(start: number, frequency: number): void {
    // From here on a state would become larger than states are.
    const most = frequency * ((leastState / allFrequencies) * wordSize);
    while (this.state >= most) {
      this.words.push(this.state % wordSize);
      this.state = Math.floor(this.state / wordSize);
    }
    const quotient = Math.floor(this.state / frequency);
    this.state = quotient * allFrequencies + start + (this.state - quotient * frequency);
  }

  /** A place, 0 … 2²⁴ − 1, of the symbol that is to be popped. */
  get place(): number {
    return this.state % allFrequencies;
  }

  /** Pops the symbol of {@link place}. */
  pop(start: number, frequency: number): void {
    this.state = frequency * Math.floor(this.state / allFrequencies) + this.place - start;
    while (this.state < leastState) this.state = this.state * wordSize + this.popWord();
  }

  /** Pushes a whole number from 0 to size − 1, all of which are as likely; size is at most 2²⁴. */
  pushUniform(value: number, size: number): void {
    const start = Math.floor((value * allFrequencies) / size);
    this.push(start, Math.floor(((value + 1) * allFrequencies) / size) - start);
  }

  /** The way back of {@link pushUniform}. */
  popUniform(size: number): number {
    const value = Math.floor(((this.place + 1) * size - 1) / allFrequencies);
    const start = Math.floor((value * allFrequencies) / size);
    this.pop(start, Math.floor(((value + 1) * allFrequencies) / size) - start);
    return value;
  }

  private popWord(): number {
    const word = this.words.pop();
    if (word !== undefined) return word;
    if (!this.lends) throw new CodingError('the stack is empty');
    return integers(foldIn(randomKey(0), this.borrowedWords++), 1, 0, wordSize)[0]!;
  }
}
