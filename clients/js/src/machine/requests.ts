// Requests that wait for a connection or for their answers.
//
// Invariant: a tag means one request of the current connection. The application's requests may all be repeated, so they
// outlive a cut; the session's own do not.

import type { Request, RequestKind } from '../model.js';

/** A request that was written. `id` is the application's; without one it is the session's own. */
export interface Asked {
  readonly kind: RequestKind;
  readonly id?: number;
  readonly clientId?: string;
  readonly after?: number;
}

interface Waiting {
  readonly id: number;
  readonly request: Request;
  readonly due: number;
  isWritten: boolean;
}

/** Typing has no response; more tags of such requests than this are not remembered. */
const SILENT_MAX = 1_000;

export class Requests {
  private nextTag = 1;
  private nextId = 1;
  private readonly written = new Map<number, Asked>();
  private readonly waiting = new Map<number, Waiting>();

  constructor(private readonly requestMs: number) {}

  ask(request: Request, now: number): number {
    const id = this.nextId++;
    this.waiting.set(id, { id, request, due: now + this.requestMs, isWritten: false });
    return id;
  }

  /** The tag of a request of the session's own. */
  own(kind: RequestKind, more: Omit<Asked, 'kind' | 'id'> = {}): number {
    return this.tagOf({ kind, ...more });
  }

  kindOf(tag: number): RequestKind | undefined {
    return this.written.get(tag)?.kind;
  }

  /** The application's requests to write now. */
  take(): { tag: number; request: Request }[] {
    const due = [...this.waiting.values()].filter((it) => !it.isWritten);
    return due.map((it) => {
      it.isWritten = true;
      return { tag: this.tagOf({ kind: it.request.kind, id: it.id }), request: it.request };
    });
  }

  answered(tag: number): Asked | undefined {
    const asked = this.written.get(tag);
    this.written.delete(tag);
    if (asked?.id === undefined) return asked;
    return this.waiting.delete(asked.id) ? asked : undefined;
  }

  /** The application's requests that have waited for too long. */
  expire(now: number): number[] {
    const late = [...this.waiting.values()].filter((it) => now >= it.due).map((it) => it.id);
    late.forEach((id) => this.waiting.delete(id));
    return late;
  }

  deadline(): number {
    let due = Number.POSITIVE_INFINITY;
    for (const it of this.waiting.values()) due = Math.min(due, it.due);
    return due;
  }

  cut(): void {
    this.written.clear();
    for (const it of this.waiting.values()) it.isWritten = false;
  }

  dropAll(): number[] {
    const ids = [...this.waiting.keys()];
    this.waiting.clear();
    return ids;
  }

  private tagOf(asked: Asked): number {
    const tag = this.nextTag;
    this.nextTag = tag >= 0x7fff_ffff ? 1 : tag + 1;
    this.written.set(tag, asked);
    if (asked.kind === 'typing') this.forgetOldTyping();
    return tag;
  }

  private forgetOldTyping(): void {
    if (this.written.size <= SILENT_MAX) return;
    for (const [tag, asked] of this.written) {
      if (asked.kind !== 'typing') continue;
      this.written.delete(tag);
      return;
    }
  }
}
