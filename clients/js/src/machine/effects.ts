// What a session tells its driver to do, and what it tells the application.

import type { Entry, Message, Outgoing, PresenceState, Refused, Typing } from '../model.js';

/**
 * `waiting`: for the next attempt. `resync`: logged in, and the missing entries are being read. `ready`: nothing is
 * missing, and messages are sent.
 */
export type Phase = 'idle' | 'waiting' | 'connecting' | 'login' | 'resync' | 'ready' | 'ended';

export interface Status {
  readonly phase: Phase;
  readonly at: number;
  readonly attempt: number;
  readonly retryAt?: number;
  readonly reason?: string;
}

export type SessionEvent =
  | ({ readonly kind: 'status' } & Status)
  | { readonly kind: 'entry'; readonly entry: Entry }
  | { readonly kind: 'transient'; readonly message: Message }
  | { readonly kind: 'queued'; readonly message: Outgoing }
  | { readonly kind: 'sent'; readonly clientId: string; readonly id: string; readonly seq: number; readonly time: number }
  | { readonly kind: 'refused'; readonly clientId: string; readonly refused: Refused }
  | { readonly kind: 'postponed'; readonly clientId: string; readonly refused: Refused; readonly until: number }
  | { readonly kind: 'typing'; readonly typing: Typing }
  | { readonly kind: 'presence'; readonly state: PresenceState }
  | { readonly kind: 'resync'; readonly through: number; readonly newest: number }
  /** The seqs of before are void; entries come again from the first, those that this client has had left out. */
  | { readonly kind: 'epoch'; readonly epoch: number };

export type Effect =
  | { readonly kind: 'open'; readonly attempt: number; readonly isTokenStale: boolean }
  | { readonly kind: 'write'; readonly attempt: number; readonly frame: Uint8Array | string }
  | { readonly kind: 'close'; readonly attempt: number }
  | { readonly kind: 'event'; readonly event: SessionEvent }
  | { readonly kind: 'settled'; readonly id: number; readonly answer?: unknown; readonly refused?: Refused }
  /** What `save` returns has changed. */
  | { readonly kind: 'changed' };

/** What a store keeps between sessions. */
export interface Saved {
  readonly epoch: number;
  /** Null: nothing has been read yet. */
  readonly through: number | null;
  readonly outgoing: readonly Outgoing[];
}

export interface Tuning {
  /** The bounds of the pause before the first and before the last reconnects. */
  readonly retryFirstMs: number;
  readonly retryMaxMs: number;
  /** A connection that was ready for so long makes the pauses short again. */
  readonly stableMs: number;
  /** How long opening and logging in may take. */
  readonly openMs: number;
  /** With an answer outstanding, a silence of `probeMs` is tested by a heartbeat, which may take `deadMs`. */
  readonly probeMs: number;
  readonly deadMs: number;
  /** Delivered entries are acknowledged together. */
  readonly ackMs: number;
  /** How long an entry may be missing before the client asks for it. */
  readonly gapMs: number;
  readonly pageEntries: number;
  /** Unanswered messages at most. With 1, their order holds even where the server refuses one for a while. */
  readonly sendsMax: number;
  /** How long a request may take, reconnects included. */
  readonly requestMs: number;
  /** Refused tokens in a row, after which the session ends. */
  readonly tokenFailuresMax: number;
}

export const TUNING: Tuning = {
  retryFirstMs: 500,
  retryMaxMs: 30_000,
  stableMs: 5_000,
  openMs: 15_000,
  probeMs: 5_000,
  deadMs: 10_000,
  ackMs: 100,
  gapMs: 50,
  pageEntries: 200,
  sendsMax: 32,
  requestMs: 30_000,
  tokenFailuresMax: 2,
};
