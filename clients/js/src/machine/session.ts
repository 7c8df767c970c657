// A client's session as a value: inputs (frames, the time, what the application asks) go in, effects (frames to write,
// sockets to open, events) come out. It has no socket, no timer, no clock and no chance of its own.
//
// Invariants: after each login the inbox is synced before anything is sent, so a message that the server stored and
// whose answer was lost is recognised and not sent again; an acknowledgement never passes what was delivered.

import type { AnswerOf, Answers, Dialect, Entry, Heard, Message, Outgoing, Request } from '../model.js';
import { Refused } from '../model.js';
import { Backoff } from './backoff.js';
import { Inbox } from './inbox.js';
import { Outbox } from './outbox.js';
import { type Effect, type Phase, type Saved, type SessionEvent, type Tuning, TUNING } from './effects.js';
import { Requests } from './requests.js';

export interface SessionOptions {
  readonly user: string;
  readonly device: string;
  readonly dialect: Dialect;
  /** Numbers from 0 to below 1. */
  readonly random: () => number;
  /** Where a client begins that has nothing saved: with the whole inbox, or with what comes from now on. */
  readonly begin?: 'beginning' | 'newest';
  readonly saved?: Saved | undefined;
  readonly tuning?: Partial<Tuning> | undefined;
}

/** Close codes after which coming back is of no use: replaced by another session, account disabled. */
const FINAL_CODES: Partial<Record<number, string>> = {
  4004: 'replaced by another session',
  4008: 'account disabled',
};
/** The token is wrong, expired or revoked. */
const TOKEN_CODES = [4001, 4007];
/** No room: come back after a second at the earliest. */
const NO_ROOM = 1013;

const FOREVER = Number.POSITIVE_INFINITY;

export class Session {
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  private readonly requests: Requests;
  private readonly tuning: Tuning;
  private readonly reconnecting: Backoff;
  private readonly pausing: Backoff;
  private readonly watched = new Set<string>();
  private effects: Effect[] = [];
  private phase: Phase = 'idle';
  private attempt = 0;
  private tokenFailures = 0;
  private farewell: string | undefined;
  private acknowledged = 0;
  private syncTag: number | undefined;
  private readySince: number | undefined;
  // Deadlines; FOREVER: none.
  private retryAt = FOREVER;
  private openBy = FOREVER;
  private ackAt = FOREVER;
  private syncAt = FOREVER;
  private heartbeatAt = FOREVER;
  private deadAt = FOREVER;

  constructor(private readonly options: SessionOptions) {
    const { saved, random } = options;
    this.tuning = { ...TUNING, ...options.tuning };
    this.inbox = new Inbox(saved?.epoch ?? 0, saved?.through ?? (options.begin === 'newest' ? null : 0));
    this.outbox = new Outbox(saved?.outgoing);
    this.requests = new Requests(this.tuning.requestMs);
    this.reconnecting = new Backoff({ firstMs: this.tuning.retryFirstMs, maxMs: this.tuning.retryMaxMs }, random);
    this.pausing = new Backoff({ firstMs: 200, maxMs: 10_000 }, random);
  }

  /** What has to be done, once. */
  drain(): Effect[] {
    const { effects } = this;
    this.effects = [];
    return effects;
  }

  /** When `wake` is due; infinite: never. */
  deadline(): number {
    const { retryAt, openBy, ackAt, syncAt, heartbeatAt, deadAt } = this;
    const canSend = this.phase === 'ready' && this.outbox.hasWaiting(this.tuning.sendsMax);
    const sendAt = canSend ? this.outbox.pausedUntil : FOREVER;
    return Math.min(retryAt, openBy, ackAt, syncAt, heartbeatAt, deadAt, sendAt, this.requests.deadline());
  }

  /** What a store has to keep, so that another session can go on from here. */
  save(): Saved {
    return { epoch: this.inbox.epoch, through: this.inbox.through, outgoing: this.outbox.messages() };
  }

  get status(): Phase {
    return this.phase;
  }

  start(now: number): void {
    if (this.phase !== 'idle' && this.phase !== 'ended') return;
    this.farewell = undefined;
    this.tokenFailures = 0;
    this.open(now);
  }

  /** Ends for good. What was not sent stays in the outbox. */
  stop(now: number): void {
    if (this.phase === 'ended' || this.phase === 'idle') return;
    this.acknowledge();
    this.end(now, 'stopped by the application');
  }

  /** The network may be back: a pause ends now. */
  retryNow(now: number): void {
    if (this.phase === 'waiting') this.open(now);
  }

  /** The socket of `attempt` is open, and `token` is what logs in. */
  opened(attempt: number, token: string, now: number): void {
    if (attempt !== this.attempt || this.phase !== 'connecting') return;
    this.enter('login', now);
    this.heard(now);
    const { user, device } = this.options;
    this.write({ kind: 'login', user, token, device }, this.requests.own('login'));
  }

  received(attempt: number, frame: Uint8Array | string, now: number): void {
    if (attempt !== this.attempt || this.phase === 'waiting' || this.phase === 'ended') return;
    this.heard(now);
    for (const heard of this.options.dialect.decode(frame, (tag) => this.requests.kindOf(tag))) this.handle(heard, now);
  }

  /** The socket of `attempt` has ended, or could not be opened. */
  lost(attempt: number, code: number, reason: string, now: number): void {
    if (attempt !== this.attempt || this.phase === 'waiting' || this.phase === 'ended') return;
    if (TOKEN_CODES.includes(code)) this.tokenFailures += 1;
    const why = this.farewell ?? FINAL_CODES[code];
    if (why !== undefined) return this.end(now, why);
    if (this.tokenFailures > this.tuning.tokenFailuresMax) return this.end(now, 'the server refuses the tokens');
    if (this.readySince !== undefined && now - this.readySince >= this.tuning.stableMs) this.reconnecting.reset();
    this.cut();
    this.retryAt = now + this.reconnecting.next(code === NO_ROOM ? 1_000 : 0);
    this.enter('waiting', now, reason || `closed with ${code}`);
  }

  /** Queues a message. It is sent when there is a connection, and again after each cut until the server answers. */
  send(message: Outgoing, now: number): void {
    if (this.outbox.add(message)) this.emit({ kind: 'queued', message });
    this.flush(now);
  }

  /** Asks the server. The answer comes as a `settled` effect with this id, after reconnects if need be. */
  request(request: Request, now: number): number {
    const id = this.requests.ask(request, now);
    this.flush(now);
    return id;
  }

  /** Typing is not worth a repetition: without a connection it is dropped. */
  typing(request: Request & { kind: 'typing' }, now: number): void {
    if (this.phase === 'ready') this.write(request, this.requests.own('typing'));
  }

  /** Users whose presence is pushed, also after reconnects. */
  watch(users: readonly string[], now: number): void {
    const fresh = users.filter((user) => !this.watched.has(user));
    fresh.forEach((user) => this.watched.add(user));
    if (this.phase === 'ready') this.subscribe(fresh, now);
  }

  unwatch(users: readonly string[], now: number): void {
    const known = users.filter((user) => this.watched.delete(user));
    if (this.phase !== 'ready' || known.length === 0) return;
    this.write({ kind: 'presence', users: known, action: 'unsubscribe' }, this.requests.own('presence'));
  }

  /** A deadline has come. */
  wake(now: number): void {
    if (now >= this.retryAt) this.open(now);
    if (now >= this.openBy || now >= this.deadAt) this.giveUp(now);
    if (now >= this.ackAt) this.acknowledge();
    if (now >= this.syncAt) this.sync(now);
    if (now >= this.heartbeatAt) this.beat(now);
    for (const id of this.requests.expire(now)) {
      this.effects.push({ kind: 'settled', id, refused: new Refused('timeout', 0, 'no answer in time') });
    }
    this.flush(now);
  }

  private open(now: number): void {
    this.attempt += 1;
    this.retryAt = FOREVER;
    this.openBy = now + this.tuning.openMs;
    this.enter('connecting', now);
    this.effects.push({ kind: 'open', attempt: this.attempt, isTokenStale: this.tokenFailures > 0 });
  }

  /** The server has not been heard for too long. */
  private giveUp(now: number): void {
    this.effects.push({ kind: 'close', attempt: this.attempt });
    this.lost(this.attempt, 1006, 'no answer from the server', now);
  }

  private cut(): void {
    this.openBy = this.ackAt = this.syncAt = this.heartbeatAt = this.deadAt = FOREVER;
    this.syncTag = undefined;
    this.readySince = undefined;
    this.acknowledged = 0;
    this.inbox.forgetHeld();
    this.outbox.cut();
    this.requests.cut();
  }

  private end(now: number, why: string): void {
    this.cut();
    this.retryAt = FOREVER;
    this.effects.push({ kind: 'close', attempt: this.attempt });
    for (const id of this.requests.dropAll()) {
      this.effects.push({ kind: 'settled', id, refused: new Refused('stopped', 0, why) });
    }
    this.enter('ended', now, why);
  }

  private enter(phase: Phase, now: number, reason?: string): void {
    this.phase = phase;
    const retryAt = phase === 'waiting' ? { retryAt: this.retryAt } : {};
    this.emit({ kind: 'status', phase, at: now, attempt: this.attempt, ...retryAt, ...(reason ? { reason } : {}) });
  }

  private heard(now: number): void {
    this.deadAt = FOREVER;
    const isBusy = this.outbox.size > 0 || this.syncTag !== undefined;
    this.heartbeatAt = now + (isBusy ? this.tuning.probeMs : this.options.dialect.heartbeatMs);
  }

  private beat(now: number): void {
    this.heartbeatAt = FOREVER;
    if (this.phase !== 'ready' && this.phase !== 'resync') return;
    this.deadAt = now + this.tuning.deadMs;
    this.write({ kind: 'heartbeat' }, this.requests.own('heartbeat'));
  }

  private handle(heard: Heard, now: number): void {
    switch (heard.kind) {
      case 'answer':
        return this.answered(heard.tag, heard.answer, now);
      case 'refused':
        return this.refused(heard.tag, heard.refused, now);
      case 'entry':
        return this.take(heard.entry, now);
      case 'typing':
        return this.emit({ kind: 'typing', typing: heard.typing });
      case 'presence':
        return this.emit({ kind: 'presence', state: heard.state });
      case 'farewell':
        if (heard.isFinal) this.farewell = heard.reason;
        return;
      case 'noise':
        return;
    }
  }

  private answered(tag: number, answer: unknown, now: number): void {
    const asked = this.requests.answered(tag);
    if (asked === undefined) return;
    if (asked.id !== undefined) {
      this.effects.push({ kind: 'settled', id: asked.id, answer });
      return;
    }
    switch (asked.kind) {
      case 'login':
        return this.loggedIn(answer as AnswerOf<'login'>, now);
      case 'sync':
        return this.synced(asked.after ?? 0, answer as Answers['sync'], now);
      case 'syncBefore':
        return this.begun(answer as Answers['syncBefore'], now);
      case 'presence':
        for (const state of (answer as Answers['presence']).states ?? []) this.emit({ kind: 'presence', state });
        return;
      case 'send':
        return this.stored(asked.clientId ?? '', answer as Answers['send'], now);
    }
  }

  private refused(tag: number, refused: Refused, now: number): void {
    const asked = this.requests.answered(tag);
    if (asked === undefined) return;
    if (asked.id !== undefined) {
      this.effects.push({ kind: 'settled', id: asked.id, refused });
    } else if (asked.kind === 'send') {
      this.refusedSend(asked.clientId ?? '', refused, now);
    } else if (asked.kind === 'sync' || asked.kind === 'syncBefore') {
      this.syncTag = undefined;
      this.syncAt = now + this.pausing.next(500);
    }
    // A refused login: the server closes, and the close code says why.
  }

  private loggedIn({ epoch }: AnswerOf<'login'>, now: number): void {
    this.tokenFailures = 0;
    this.openBy = FOREVER;
    if (this.inbox.enter(epoch)) this.emit({ kind: 'epoch', epoch });
    this.enter('resync', now);
    this.sync(now);
  }

  /** Asks for the entries that are missing, one page at a time. */
  private sync(now: number): void {
    this.syncAt = FOREVER;
    if (this.syncTag !== undefined || (this.phase !== 'resync' && this.phase !== 'ready')) return;
    const { through } = this.inbox;
    this.inbox.asking();
    if (through === null) {
      this.syncTag = this.requests.own('syncBefore');
      this.write({ kind: 'syncBefore', before: 0, limit: 1 }, this.syncTag);
    } else {
      this.syncTag = this.requests.own('sync', { after: through });
      this.write({ kind: 'sync', after: through, limit: this.tuning.pageEntries }, this.syncTag);
    }
  }

  private synced(after: number, page: Answers['sync'], now: number): void {
    this.syncTag = undefined;
    this.pausing.reset();
    const { entries, serverMaxSeq, hasMore } = page;
    if (serverMaxSeq < after) {
      // The server has less than this client: its seqs stand for other entries.
      this.inbox.restart();
      this.emit({ kind: 'epoch', epoch: this.inbox.epoch });
      return this.sync(now);
    }
    const last = entries.at(-1);
    const goesOn = hasMore && last !== undefined;
    this.deliver(this.inbox.takePage(entries, after, goesOn ? last.seq : serverMaxSeq), now);
    this.emit({ kind: 'resync', through: this.inbox.through ?? 0, newest: serverMaxSeq });
    if (goesOn) return this.sync(now);
    this.caughtUp(now);
  }

  private begun(page: Answers['syncBefore'], now: number): void {
    this.syncTag = undefined;
    this.deliver(this.inbox.begin(page.serverMaxSeq), now);
    this.caughtUp(now);
  }

  private caughtUp(now: number): void {
    if (this.inbox.hasGap) this.syncAt = now + this.tuning.gapMs;
    if (this.phase === 'ready') return;
    this.readySince = now;
    this.enter('ready', now);
    this.subscribe([...this.watched], now);
    this.flush(now);
  }

  private subscribe(users: readonly string[], now: number): void {
    for (let at = 0; at < users.length; at += 200) {
      const some = users.slice(at, at + 200);
      this.write({ kind: 'presence', users: some, action: 'subscribe' }, this.requests.own('presence'));
    }
  }

  private take(entry: Entry, now: number): void {
    if (entry.kind === 'message' && entry.seq === 0) {
      return this.emit({ kind: 'transient', message: entry.message });
    }
    this.deliver(this.inbox.take(entry), now);
    if (this.inbox.hasGap && this.phase === 'ready' && this.syncAt === FOREVER) this.syncAt = now + this.tuning.gapMs;
  }

  private deliver(entries: readonly Entry[], now: number): void {
    for (const entry of entries) {
      if (entry.kind === 'message' && entry.message.from === this.options.user) this.recognise(entry.message);
      this.emit({ kind: 'entry', entry });
    }
    const through = this.inbox.through ?? 0;
    if (through <= this.acknowledged) return;
    this.ackAt = Math.min(this.ackAt, now + this.tuning.ackMs);
    this.effects.push({ kind: 'changed' });
  }

  /** This user's own message is in the inbox: it needs no answer any more. */
  private recognise(message: Message): void {
    if (this.outbox.settle(message.clientId) === undefined) return;
    this.emit({ kind: 'sent', clientId: message.clientId, id: message.id, seq: message.seq, time: message.time });
  }

  private acknowledge(): void {
    this.ackAt = FOREVER;
    const through = this.inbox.through ?? 0;
    if (through <= this.acknowledged || (this.phase !== 'ready' && this.phase !== 'resync')) return;
    this.acknowledged = through;
    this.write({ kind: 'ack', seq: through, id: '' }, 0);
  }

  private stored(clientId: string, answer: Answers['send'], now: number): void {
    this.pausing.reset();
    const message = this.outbox.settle(clientId);
    if (message !== undefined) {
      const time = answer.time ?? now;
      this.emit({ kind: 'sent', clientId, id: answer.id, seq: answer.seq, time });
      if (answer.seq > 0) this.take(ownEntry(message, this.options.user, { ...answer, time }), now);
    }
    this.flush(now);
  }

  private refusedSend(clientId: string, refused: Refused, now: number): void {
    if (refused.isTemporary) {
      this.outbox.postpone(clientId, now + this.pausing.next());
      this.emit({ kind: 'postponed', clientId, refused, until: this.outbox.pausedUntil });
    } else if (this.outbox.settle(clientId) !== undefined) {
      this.emit({ kind: 'refused', clientId, refused });
    }
    this.flush(now);
  }

  private flush(now: number): void {
    if (this.phase !== 'ready') return;
    for (const { tag, request } of this.requests.take()) this.write(request, tag, now);
    for (const message of this.outbox.take(now, this.tuning.sendsMax)) {
      const tag = this.requests.own('send', { clientId: message.clientId });
      this.write({ kind: 'send', message }, tag, now);
    }
    // An answer is due soon; without one the connection is tested, unless it is being tested.
    if (this.outbox.size > 0 && this.deadAt === FOREVER) this.heartbeatAt = Math.min(this.heartbeatAt, now + this.tuning.probeMs);
  }

  private write(request: Request, tag: number, now = 0): void {
    try {
      this.effects.push({ kind: 'write', frame: this.options.dialect.encode(request, tag), attempt: this.attempt });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refused(tag, error, now);
    }
  }

  private emit(event: SessionEvent): void {
    this.effects.push({ kind: 'event', event });
    if (event.kind === 'queued' || event.kind === 'sent' || event.kind === 'refused') {
      this.effects.push({ kind: 'changed' });
    }
  }
}

function ownEntry(message: Outgoing, user: string, answer: Answers['send'] & { time: number }): Entry {
  const { id, seq, time, conversationSeq } = answer;
  const own: Message = {
    id,
    clientId: message.clientId,
    conversation: message.to,
    from: user,
    type: message.type,
    content: message.content,
    time,
    seq,
    ...(conversationSeq ? { conversationSeq } : {}),
    extra: message.extra ?? {},
    isRevoked: false,
    ...(message.wantsReceipt ? { wantsReceipt: true } : {}),
    ...(message.topic ? { topic: message.topic } : {}),
    ...(message.stream ? { stream: message.stream } : {}),
  };
  return { kind: 'message', seq, id, message: own };
}

