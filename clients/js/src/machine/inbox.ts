// The inbox as this client has it: which entries the application has got, and which are missing.
//
// Invariants: entries are delivered in the order of their seqs, each once, and none is passed over; `through` is the seq
// up to which all have been delivered. An entry that comes too early is held until a page closes the gap.

import type { Entry } from '../model.js';

/** Ids of messages and facts that are remembered at most, to recognise repetitions. */
const SEEN_MAX = 20_000;

/** A set that forgets its oldest members. */
class Recent {
  private readonly members = new Set<string>();

  has(member: string): boolean {
    return this.members.has(member);
  }

  add(member: string): void {
    if (this.members.size >= SEEN_MAX) {
      for (const oldest of this.members) {
        this.members.delete(oldest);
        break;
      }
    }
    this.members.add(member);
  }
}

/** The same fact has the same key, pushed without a seq or read with one. */
function factKey(entry: Entry): string | undefined {
  if (entry.kind === 'revoked') return `revoked ${entry.revoked.messageId}`;
  if (entry.kind === 'receipt') return `receipt ${entry.receipt.by} ${entry.receipt.messageIds.join(' ')}`;
  return undefined;
}

export class Inbox {
  private readonly held = new Map<number, Entry>();
  private readonly messages = new Recent();
  private readonly facts = new Recent();
  /** Whether a fact was pushed without its place since the last page was asked for: the next page has both. */
  private hasUnplaced = false;

  /** `through` is null until the first page: then nothing is known of the inbox. */
  constructor(
    public epoch: number,
    public through: number | null,
  ) {}

  /** Whether an entry is missing that the server has. */
  get hasGap(): boolean {
    return this.held.size > 0 || this.hasUnplaced;
  }

  /** A page is asked for: it will have every fact that was pushed before now. */
  asking(): void {
    this.hasUnplaced = false;
  }

  /** The seqs of another epoch stand for other entries. Returns whether there was another one. */
  enter(epoch: number): boolean {
    const isOther = this.epoch !== 0 && this.epoch !== epoch;
    this.epoch = epoch;
    if (isOther) this.restart();
    return isOther;
  }

  /** Forgets the seqs: the inbox is read again from its beginning. */
  restart(): void {
    this.through = 0;
    this.forgetHeld();
  }

  /** What was held came over a connection that has ended; a page has it, too. */
  forgetHeld(): void {
    this.held.clear();
    this.hasUnplaced = false;
  }

  /** An entry that the server pushed, or this client's own message. Returns what is to be delivered now. */
  take(entry: Entry): Entry[] {
    if (entry.seq === 0) return this.takeUnplaced(entry);
    if (this.through !== null && entry.seq <= this.through) return [];
    this.held.set(entry.seq, entry);
    return this.release();
  }

  /** A page of the entries after `after`, which ends at the seq `end`. */
  takePage(entries: readonly Entry[], after: number, end: number): Entry[] {
    if (this.through !== null && this.through < after) return [];
    for (const entry of entries) this.held.set(entry.seq, entry);
    const due = [...this.held.values()].filter((entry) => entry.seq <= end).sort((one, other) => one.seq - other.seq);
    const delivered = due.filter((entry) => entry.seq > (this.through ?? 0)).filter((entry) => this.isNew(entry));
    for (const entry of due) this.held.delete(entry.seq);
    this.through = Math.max(this.through ?? 0, end);
    return [...delivered, ...this.release()];
  }

  /** Begins at the newest entry: what came before is history. */
  begin(newest: number): Entry[] {
    this.through = newest;
    for (const seq of this.held.keys()) if (seq <= newest) this.held.delete(seq);
    return this.release();
  }

  private takeUnplaced(entry: Entry): Entry[] {
    const key = factKey(entry);
    if (key === undefined) return [entry];
    // Told now, the fact would be told again by a session that goes on from what was saved.
    this.hasUnplaced ||= !this.facts.has(key);
    return [];
  }

  private release(): Entry[] {
    const released: Entry[] = [];
    while (this.through !== null) {
      const next = this.held.get(this.through + 1);
      if (next === undefined) break;
      this.held.delete(next.seq);
      this.through = next.seq;
      if (this.isNew(next)) released.push(next);
    }
    return released;
  }

  private isNew(entry: Entry): boolean {
    const key = factKey(entry);
    const recent = key === undefined ? this.messages : this.facts;
    const member = key ?? `${entry.kind} ${entry.id}`;
    if (recent.has(member)) return false;
    recent.add(member);
    return true;
  }
}
