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
 * draws it by the frequencies given and takes as many bits away, which pushing it puts back: bits back.
 * All arithmetic is on whole numbers below 2⁵³, which doubles hold exactly.
 */
export class AnsStack {
  private state = leastState;
  private words: Uint16Array;
  private length: number;
  private borrowedWords = 0;

  /**
   * @param content what lies on the stack already, an even number of bytes; see {@link top}
   * @param lend words of 16 bits for who pops from an empty stack, by number; absent: an error
   */
  constructor(
    content: Uint8Array,
    private readonly lend?: (index: number) => number,
  ) {
    this.words = new Uint16Array(Math.ceil(content.length / 2));
    new Uint8Array(this.words.buffer).set(content);
    this.length = this.words.length;
  }

  /**
   * A stack as {@link bytes} wrote it.
   * @throws CodingError for other bytes
   */
  static of(bytes: Uint8Array): AnsStack {
    const stack = new AnsStack(bytes);
    if (stack.length < stateWords || bytes.length % 2 !== 0) throw new CodingError('no stack');
    stack.state = 0;
    for (let i = 0; i < stateWords; i++) stack.state = stack.state * wordSize + stack.popWord();
    if (stack.state < leastState) throw new CodingError('no state of a stack');
    return stack;
  }

  /** Words of 16 bits that were lent. */
  get borrowed(): number {
    return this.borrowedWords;
  }

  /** All of the stack, its top at the end. */
  bytes(): Uint8Array {
    const all = new Uint16Array(this.length + stateWords);
    all.set(this.words.subarray(0, this.length));
    for (let i = 0, rest = this.state; i < stateWords; i++, rest = Math.floor(rest / wordSize)) {
      all[this.length + i] = rest % wordSize;
    }
    return new Uint8Array(all.buffer);
  }

  /**
   * The last bytes of a stack to which all has been put back that was taken from it.
   * @throws CodingError where something is still on it or missing
   */
  top(length: number): Uint8Array {
    const words = Math.ceil(length / 2);
    if (this.state !== leastState || words > this.length) throw new CodingError('another state');
    const last = this.words.slice(this.length - words, this.length);
    return new Uint8Array(last.buffer).subarray(0, length);
  }

  /** Pushes a symbol, which has the places from `start` on, as many as its frequency. */
  push(start: number, frequency: number): void {
    // From here on a state would become larger than states are.
    const most = frequency * ((leastState / allFrequencies) * wordSize);
    while (this.state >= most) {
      this.pushWord(this.state % wordSize);
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

  private pushWord(word: number): void {
    if (this.length === this.words.length) {
      const longer = new Uint16Array(2 * this.length + 1024);
      longer.set(this.words);
      this.words = longer;
    }
    this.words[this.length++] = word;
  }

  private popWord(): number {
    if (this.length > 0) return this.words[--this.length]!;
    if (!this.lend) throw new CodingError('the stack is empty');
    return this.lend(this.borrowedWords++);
  }
}

/** Symbols 0, 1 and so on with a frequency each, by weights of any sum; none has the frequency 0. */
export class Frequencies {
  /** Where each symbol's places start, and where the last one's end. */
  private readonly starts: Uint32Array;

  constructor(weights: readonly number[]) {
    const sum = weights.reduce((a, b) => a + b, 0);
    const shares = weights.map(
      (weight) => 1 + Math.floor((weight / sum) * (allFrequencies - weights.length)),
    );
    // What rounding leaves goes where it changes least.
    const largest = weights.indexOf(weights.reduce((a, b) => Math.max(a, b)));
    shares[largest]! += allFrequencies - shares.reduce((a, b) => a + b, 0);
    this.starts = new Uint32Array(shares.length + 1);
    shares.forEach((share, symbol) => {
      this.starts[symbol + 1] = this.starts[symbol]! + share;
    });
  }

  push(stack: AnsStack, symbol: number): void {
    const start = this.starts[symbol]!;
    stack.push(start, this.starts[symbol + 1]! - start);
  }

  pop(stack: AnsStack): number {
    const { place } = stack;
    let [low, high] = [0, this.starts.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle]! <= place) low = middle;
      else high = middle;
    }
    const start = this.starts[low]!;
    stack.pop(start, this.starts[low + 1]! - start);
    return low;
  }
}
