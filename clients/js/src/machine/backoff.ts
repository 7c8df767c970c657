// Pauses that grow, with jitter, so that clients that lost the same server do not come back together.

export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

export class Backoff {
  private failures = 0;

  constructor(
    private readonly limits: BackoffLimits,
    private readonly random: () => number,
  ) {}

  /** The next pause: between half of the current bound and all of it. */
  next(leastMs = 0): number {
    const bound = Math.min(this.limits.maxMs, this.limits.firstMs * 2 ** Math.min(this.failures, 20));
    this.failures += 1;
    return Math.max(leastMs, bound / 2 + (this.random() * bound) / 2);
  }

  reset(): void {
    this.failures = 0;
  }
}
