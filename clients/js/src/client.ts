// A client with a socket: it drives a `Session` with a WebSocket, timers and the clock, and gives promises and events.

import type { Effect, Phase, Saved, SessionEvent, Status, Tuning } from './machine/effects.js';
import { Session } from './machine/session.js';
import type {
  AnswerOf,
  Cleared,
  Described,
  Dialect,
  Entry,
  GroupChange,
  GroupInfo,
  Message,
  Outgoing,
  PresenceState,
  Receipt,
  Request,
  Revoked,
  Target,
  Typing,
} from './model.js';
import { Refused } from './model.js';
import type { Store } from './store.js';
import { binary } from './wire/binary.js';
import { jsonRpc } from './wire/jsonrpc.js';
import { textContent } from './wire/text.js';

/** What the kit needs of a WebSocket: the browser's, that of Node from 22 on, or the package `ws`. */
export interface SocketLike {
  binaryType: string;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: { data: any }) => void) | null;
  onclose: ((event: { code: number; reason: any }) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: any): void;
  close(code?: number, reason?: string): void;
}

export interface ClientOptions {
  /** The server, such as `ws://127.0.0.1:8081`; the protocol adds its path. */
  readonly url: string;
  readonly user: string;
  /** A token, or where to get one. `isStale`: the server has refused the last one. */
  readonly token: string | ((isStale: boolean) => string | Promise<string>);
  readonly protocol?: 'binary' | 'jsonrpc';
  /** Keeps this device apart from the user's others. The same device logs in again: the older session ends. */
  readonly device?: string;
  readonly begin?: 'beginning' | 'newest';
  readonly store?: Store;
  readonly tuning?: Partial<Tuning>;
  readonly WebSocket?: new (url: string) => SocketLike;
}

export interface Frame {
  readonly direction: 'in' | 'out';
  readonly at: number;
  readonly bytes: number;
  readonly raw: Uint8Array | string;
  readonly described: Described;
}

export interface Sent {
  readonly clientId: string;
  readonly id: string;
  readonly seq: number;
  readonly time: number;
}

export interface ClientEvents {
  status: Status;
  /** Every entry of the inbox in order, each once; the next five are the same ones by their kinds. */
  entry: Entry;
  message: Message;
  revoked: Revoked;
  receipt: Receipt;
  group: GroupChange;
  cleared: Cleared;
  /** A message that is never stored. */
  transient: Message;
  queued: Outgoing;
  sent: Sent;
  refused: { readonly clientId: string; readonly refused: Refused };
  typing: Typing;
  presence: PresenceState;
  resync: { readonly through: number; readonly newest: number };
  epoch: { readonly epoch: number };
  frame: Frame;
}

type Listener<K extends keyof ClientEvents> = (event: ClientEvents[K]) => void;

export interface SendOptions {
  readonly clientId?: string;
  readonly type?: number;
  readonly extra?: Readonly<Record<string, string>>;
  readonly wantsReceipt?: boolean;
  readonly isUnstored?: boolean;
  readonly topic?: string;
  readonly expireSeconds?: number;
}

interface Settling {
  resolve(value: any): void;
  reject(reason: unknown): void;
}

export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Client {
  readonly user: string;
  readonly protocol: 'binary' | 'jsonrpc';
  private readonly dialect: Dialect;
  private session: Session | undefined;
  private socket: SocketLike | undefined;
  private socketAttempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private openingAttempt = 0;
  private isSaving = false;
  /** What `renew` has put in place of the option `token`. */
  private fixedToken: string | undefined;
  private isPerforming = false;
  private readonly effects: Effect[] = [];
  private current: Status = { phase: 'idle', at: 0, attempt: 0 };
  private readonly listeners = new Map<string, Set<(event: any) => void>>();
  private readonly sends = new Map<string, Settling>();
  private readonly asks = new Map<number, Settling>();
  private readonly back = (): void => this.drive((session, now) => session.retryNow(now));

  constructor(private readonly options: ClientOptions) {
    this.user = options.user;
    this.protocol = options.protocol ?? 'jsonrpc';
    this.dialect = this.protocol === 'binary' ? binary() : jsonRpc();
  }

  get status(): Status {
    return this.current;
  }

  /** Messages that the server has not answered yet. */
  get unsent(): readonly Outgoing[] {
    return this.session?.outbox.messages() ?? [];
  }

  /** What a store would keep. */
  save(): Saved | undefined {
    return this.session?.save();
  }

  on<K extends keyof ClientEvents>(kind: K, listener: Listener<K>): () => void {
    const known = this.listeners.get(kind) ?? new Set();
    this.listeners.set(kind, known.add(listener));
    return () => known.delete(listener);
  }

  /** Resolves once, when the session is in `phase`; rejects when it ends before. */
  until(phase: Phase): Promise<void> {
    if (this.current.phase === phase) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const off = this.on('status', (status) => {
        if (status.phase !== phase && status.phase !== 'ended') return;
        off();
        if (status.phase === phase) resolve();
        else reject(new Refused('stopped', 0, status.reason ?? 'ended'));
      });
    });
  }

  async connect(): Promise<void> {
    if (this.session === undefined) {
      const saved = await this.options.store?.load();
      const { user, device = 'js', begin, tuning } = this.options;
      const { dialect } = this;
      this.session ??= new Session({ user, device, dialect, random: Math.random, begin, saved, tuning });
    }
    if (typeof globalThis.addEventListener === 'function') globalThis.addEventListener('online', this.back);
    this.drive((session, now) => session.start(now));
  }

  /** Ends the session for good; `connect` begins again. Unsent messages stay. */
  close(): void {
    if (typeof globalThis.removeEventListener === 'function') globalThis.removeEventListener('online', this.back);
    this.drive((session, now) => session.stop(now));
  }

  /** Ends a pause before the next attempt. */
  retryNow(): void {
    this.back();
  }

  /** Resolves when the server has stored the message, however often the connection is cut until then. */
  send(to: Target, content: Uint8Array, options: SendOptions = {}): Promise<Sent> {
    const { clientId = newId(), type = 1, ...more } = options;
    return this.sendOutgoing({ clientId, to, type, content, sendTime: Date.now(), ...more });
  }

  sendText(to: Target, text: string, options: SendOptions = {}): Promise<Sent> {
    return this.send(to, textContent(text), options);
  }

  sendOutgoing(message: Outgoing): Promise<Sent> {
    return new Promise((resolve, reject) => {
      this.sends.set(message.clientId, { resolve, reject });
      this.drive((session, now) => session.send(message, now), reject);
    });
  }

  /** A text that is written bit by bit; every reader sees it grow. */
  stream(to: Target, no: string = newId()): { write(text: string): Promise<Sent>; end(text?: string): Promise<Sent> } {
    let chunk = 0;
    const put = (text: string, isLast: boolean): Promise<Sent> => {
      chunk += 1;
      const content = textContent(text);
      const clientId = newId();
      return this.sendOutgoing({
        clientId,
        to,
        type: 1,
        content,
        sendTime: Date.now(),
        stream: { no, chunk, isLast },
      });
    };
    return { write: (text) => put(text, false), end: (text = '') => put(text, true) };
  }

  /** Any request of either protocol. It is asked again after a cut, and gives up after `requestMs`. */
  request<R extends Request>(request: R): Promise<AnswerOf<R['kind']>> {
    return new Promise((resolve, reject) => {
      this.drive((session, now) => {
        this.asks.set(session.request(request, now), { resolve, reject });
      }, reject);
    });
  }

  typing(conversation: Target, isTyping: boolean): void {
    this.drive((session, now) => session.typing({ kind: 'typing', conversation, isTyping }, now));
  }

  watch(users: readonly string[]): void {
    this.drive((session, now) => session.watch(users, now));
  }

  unwatch(users: readonly string[]): void {
    this.drive((session, now) => session.unwatch(users, now));
  }

  revoke(conversation: Target, messageId: string): Promise<unknown> {
    return this.request({ kind: 'revoke', conversation, messageId });
  }

  /** Tells the authors that this user has read their messages. */
  receipt(conversation: Target, messageIds: readonly string[]): Promise<unknown> {
    return this.request({ kind: 'receipt', conversation, messageIds });
  }

  markRead(conversation: Target, through: number): Promise<unknown> {
    return this.request({ kind: 'markRead', conversation, through });
  }

  /** Hides the conversation's messages so far from this user alone; its other devices learn of it. */
  clearHistory(conversation: Target, through?: number): Promise<unknown> {
    return this.request({ kind: 'clearHistory', conversation, through });
  }

  /** The same, and the conversation leaves this user's list until a newer message comes. */
  deleteConversation(conversation: Target, through?: number): Promise<unknown> {
    return this.request({ kind: 'deleteConversation', conversation, through });
  }

  /**
   * Gives the session a fresh token before the old one expires. Refused, the session goes on with the old one. A text as
   * the option `token` is replaced for later logins; a function is asked again then.
   */
  async renew(token: string): Promise<void> {
    await this.request({ kind: 'reauth', token });
    if (typeof this.options.token === 'string') this.fixedToken = token;
  }

  history(conversation: Target, page: { before?: number; after?: number; limit?: number; topic?: string } = {}) {
    return this.request({ kind: 'history', conversation, ...page });
  }

  conversations(page: { beforeSeq?: number; limit?: number } = {}) {
    return this.request({ kind: 'conversations', ...page });
  }

  group(group: string): Promise<GroupInfo> {
    return this.request({ kind: 'groupInfo', group });
  }

  private drive(input: (session: Session, now: number) => void, without?: (reason: Error) => void): void {
    const { session } = this;
    if (session === undefined) {
      without?.(new Refused('stopped', 0, 'connect has not been called'));
      return;
    }
    input(session, Date.now());
    this.effects.push(...session.drain());
    // A listener may drive the session, too: its effects come after those that are already due.
    if (this.isPerforming) return;
    this.isPerforming = true;
    for (let effect = this.effects.shift(); effect !== undefined; effect = this.effects.shift()) this.perform(effect);
    this.isPerforming = false;
    this.arm();
  }

  private arm(): void {
    clearTimeout(this.timer);
    const due = this.session?.deadline() ?? Number.POSITIVE_INFINITY;
    if (!Number.isFinite(due)) return;
    this.timer = setTimeout(() => this.drive((session, now) => session.wake(now)), Math.max(0, due - Date.now()));
  }

  private perform(effect: Effect): void {
    switch (effect.kind) {
      case 'open':
        void this.open(effect.attempt, effect.isTokenStale);
        return;
      case 'write':
        return this.write(effect.frame, effect.attempt);
      case 'close':
        return this.closeSocket();
      case 'event':
        return this.tell(effect.event);
      case 'settled': {
        const ask = this.asks.get(effect.id);
        this.asks.delete(effect.id);
        if (effect.refused === undefined) ask?.resolve(effect.answer);
        else ask?.reject(effect.refused);
        return;
      }
      case 'changed':
        return this.saveSoon();
    }
  }

  private async open(attempt: number, isStale: boolean): Promise<void> {
    const { token, url } = this.options;
    try {
      this.closeSocket();
      this.openingAttempt = attempt;
      const Socket = this.options.WebSocket ?? (await nodeOrGlobalSocket());
      const secret = typeof token === 'string' ? (this.fixedToken ?? token) : await token(isStale);
      if (this.openingAttempt !== attempt) return;
      const socket = new Socket(`${url.replace(/\/$/, '')}${this.dialect.path}`);
      this.attach(socket, attempt, secret);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.drive((session, now) => session.lost(attempt, 1006, reason, now));
    }
  }

  private attach(socket: SocketLike, attempt: number, token: string): void {
    this.socket = socket;
    this.socketAttempt = attempt;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => this.drive((session, now) => session.opened(attempt, token, now));
    socket.onmessage = ({ data }) => {
      const frame = typeof data === 'string' ? data : new Uint8Array(data as ArrayBuffer);
      this.show('in', frame);
      this.drive((session, now) => session.received(attempt, frame, now));
    };
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => {
      if (this.socket === socket) this.socket = undefined;
      this.drive((session, now) => session.lost(attempt, code, String(reason ?? ''), now));
    };
  }

  private write(frame: Uint8Array | string, attempt: number): void {
    if (this.socket === undefined || this.socketAttempt !== attempt) return;
    this.show('out', frame);
    this.socket.send(frame);
  }

  private closeSocket(): void {
    const { socket } = this;
    this.openingAttempt = 0;
    this.socket = undefined;
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    socket.close();
  }

  private show(direction: 'in' | 'out', raw: Uint8Array | string): void {
    if (!this.listeners.get('frame')?.size) return;
    const described = this.dialect.describe(raw);
    this.fire('frame', { direction, at: Date.now(), bytes: raw.length, raw, described });
  }

  private tell(event: SessionEvent): void {
    switch (event.kind) {
      case 'status':
        this.current = event;
        return this.fire('status', event);
      case 'entry':
        return this.tellEntry(event.entry);
      case 'transient':
        return this.fire('transient', event.message);
      case 'queued':
        return this.fire('queued', event.message);
      case 'sent':
        this.sends.get(event.clientId)?.resolve(event);
        this.sends.delete(event.clientId);
        return this.fire('sent', event);
      case 'refused':
        this.sends.get(event.clientId)?.reject(event.refused);
        this.sends.delete(event.clientId);
        return this.fire('refused', event);
      case 'postponed':
        return;
      case 'typing':
        return this.fire('typing', event.typing);
      case 'presence':
        return this.fire('presence', event.state);
      case 'resync':
        return this.fire('resync', event);
      case 'epoch':
        return this.fire('epoch', event);
    }
  }

  private tellEntry(entry: Entry): void {
    this.fire('entry', entry);
    switch (entry.kind) {
      case 'message':
        return this.fire('message', entry.message);
      case 'revoked':
        return this.fire('revoked', entry.revoked);
      case 'receipt':
        return this.fire('receipt', entry.receipt);
      case 'group':
        return this.fire('group', entry.change);
      case 'cleared':
        return this.fire('cleared', entry.cleared);
    }
  }

  private fire<K extends keyof ClientEvents>(kind: K, event: ClientEvents[K]): void {
    for (const listener of [...(this.listeners.get(kind) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        // The application's fault: reported as uncaught, and the session goes on.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Once for all changes of a turn, after the application has handled their events. */
  private saveSoon(): void {
    const { store } = this.options;
    if (store === undefined || this.isSaving) return;
    this.isSaving = true;
    queueMicrotask(() => {
      this.isSaving = false;
      if (this.session !== undefined) store.save(this.session.save());
    });
  }
}

/** The global WebSocket; Node has one from 22 on, and uses the package `ws` before. */
async function nodeOrGlobalSocket(): Promise<new (url: string) => SocketLike> {
  const known = (globalThis as { WebSocket?: unknown }).WebSocket;
  if (known !== undefined) return known as new (url: string) => SocketLike;
  // A name that bundlers for browsers do not follow.
  const name = 'ws';
  const ws = (await import(/* @vite-ignore */ name)) as { WebSocket: unknown };
  return ws.WebSocket as new (url: string) => SocketLike;
}

