// Messages on their way out, in the order in which the application sent them.
//
// Invariant: a message stays here, under its one client id, until the server has stored or refused it; so it may be
// written again after a cut, and the server recognises it.

import type { Outgoing } from '../model.js';

interface Item {
  readonly message: Outgoing;
  /** Written to the current connection, and not answered. */
  isUnderWay: boolean;
}

export class Outbox {
  private readonly items = new Map<string, Item>();
  private underWay = 0;
  /** Nothing is written before this time: the server asked for a pause. */
  pausedUntil = 0;

  constructor(messages: readonly Outgoing[] = []) {
    for (const message of messages) this.add(message);
  }

  get size(): number {
    return this.items.size;
  }

  messages(): Outgoing[] {
    return [...this.items.values()].map((item) => item.message);
  }

  find(clientId: string): Outgoing | undefined {
    return this.items.get(clientId)?.message;
  }

  add(message: Outgoing): boolean {
    if (this.items.has(message.clientId)) return false;
    this.items.set(message.clientId, { message, isUnderWay: false });
    return true;
  }

  /** The messages to write now, in order, so that at most `max` are unanswered. */
  take(now: number, max: number): Outgoing[] {
    if (now < this.pausedUntil || this.underWay >= max) return [];
    const taken: Outgoing[] = [];
    for (const item of this.items.values()) {
      if (this.underWay >= max) break;
      if (item.isUnderWay) continue;
      item.isUnderWay = true;
      this.underWay += 1;
      taken.push(item.message);
    }
    return taken;
  }

  /** Whether `take` would return something once the pause is over. */
  hasWaiting(max: number): boolean {
    return this.underWay < Math.min(max, this.items.size);
  }

  /** The server has stored the message, or refused it for good. */
  settle(clientId: string): Outgoing | undefined {
    const item = this.items.get(clientId);
    if (item === undefined) return undefined;
    if (item.isUnderWay) this.underWay -= 1;
    this.items.delete(clientId);
    return item.message;
  }

  /** The server has no room now: the message is written again after the pause. */
  postpone(clientId: string, until: number): void {
    const item = this.items.get(clientId);
    this.pausedUntil = Math.max(this.pausedUntil, until);
    if (item?.isUnderWay) {
      item.isUnderWay = false;
      this.underWay -= 1;
    }
  }

  /** The connection has ended: whatever was not answered is written again. */
  cut(): void {
    this.underWay = 0;
    for (const item of this.items.values()) item.isUnderWay = false;
  }
}
