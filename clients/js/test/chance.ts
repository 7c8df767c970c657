// One source of random numbers: the same numbers for the same seed (mulberry32).

export class Chance {
  private state: number;

  constructor(readonly seed: number) {
    this.state = (seed * 0x9e3779b1) >>> 0;
  }

  next = (): number => {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };

  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  oneIn(bound: number): boolean {
    return this.below(bound) === 0;
  }
}
