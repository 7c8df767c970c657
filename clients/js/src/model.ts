// The vocabulary that both protocols share: messages, entries of the inbox, requests, and what the server says.
//
// Times are Unix milliseconds. A conversation is named by the other user or by the group, never by a protocol's own id.

/** The other side of a conversation. */
export type Target = { readonly user: string } | { readonly group: string };

/** The same conversation has the same key: for maps, lists and stores. */
export function keyOf(target: Target): string {
  return 'user' in target ? `user:${target.user}` : `group:${target.group}`;
}

export function targetOf(key: string): Target {
  return key.startsWith('group:') ? { group: key.slice(6) } : { user: key.slice(key.indexOf(':') + 1) };
}

/** One chunk of a stream. `chunk` counts from 1; the chunk with `isLast` ends the stream. */
export interface StreamChunk {
  readonly no: string;
  readonly chunk: number;
  readonly isLast: boolean;
}

export interface Message {
  /** The server's id, a decimal string. */
  readonly id: string;
  /** The author's id, by which repetitions are recognised. */
  readonly clientId: string;
  readonly conversation: Target;
  readonly from: string;
  /** 1 text, 2 image, 3 voice, 4 video, 5 file; others are the application's own. */
  readonly type: number;
  readonly content: Uint8Array;
  readonly time: number;
  /** The seq in this user's inbox; 0: never stored, or not read from the inbox. */
  readonly seq: number;
  /** The seq in the conversation, where the protocol tells it. */
  readonly conversationSeq?: number;
  readonly extra: Readonly<Record<string, string>>;
  readonly isRevoked: boolean;
  /** The author asks for read receipts (JSON-RPC only). */
  readonly wantsReceipt?: boolean;
  readonly topic?: string;
  readonly expireSeconds?: number;
  readonly stream?: StreamChunk;
}

export interface Revoked {
  readonly conversation: Target;
  readonly messageId: string;
  readonly by: string;
  readonly time: number;
}

export interface Receipt {
  readonly conversation: Target;
  readonly messageIds: readonly string[];
  readonly by: string;
  readonly time: number;
}

/** A change of a group, with the members that `proto/jsonrpc.md` lists under `group`. */
export interface GroupChange {
  readonly change: string;
  readonly group: string;
  readonly by: string;
  readonly members: readonly string[];
  readonly count: number;
  readonly time: number;
  readonly [more: string]: unknown;
}

/** This user has cleared a conversation for itself: its messages up to and including `through` are hidden. */
export interface Cleared {
  readonly conversation: Target;
  /** The conversation has left the list as well, until a newer message comes. */
  readonly isDeleted: boolean;
  /** One of the conversation's seqs. */
  readonly through: number;
  readonly time: number;
}

/** One entry of the inbox. With seq 0 its place is unknown, or it has none. */
export type Entry =
  | { readonly kind: 'message'; readonly seq: number; readonly id: string; readonly message: Message }
  | { readonly kind: 'revoked'; readonly seq: number; readonly id: string; readonly revoked: Revoked }
  | { readonly kind: 'receipt'; readonly seq: number; readonly id: string; readonly receipt: Receipt }
  | { readonly kind: 'group'; readonly seq: number; readonly id: string; readonly change: GroupChange }
  | { readonly kind: 'cleared'; readonly seq: number; readonly id: string; readonly cleared: Cleared };

export interface Typing {
  readonly conversation: Target;
  readonly user: string;
  readonly isTyping: boolean;
}

export interface PresenceState {
  readonly user: string;
  readonly isOnline: boolean;
  /** When the last session ended; 0: never seen, or online. */
  readonly lastSeen: number;
}

export interface ConversationRow {
  readonly conversation: Target;
  readonly last?: Entry;
  readonly lastSeq: number;
  readonly unread: number;
  readonly readThrough: number;
  readonly newestSeq: number;
}

export interface Member {
  readonly user: string;
  readonly role: string;
  readonly mutedUntil: number;
}

export interface Profile {
  readonly name: string;
  readonly avatar: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface GroupInfo extends Profile {
  readonly group: string;
  readonly owner: string;
  readonly created: number;
  readonly memberCount: number;
  readonly newestSeq: number;
  readonly join: string;
  readonly members: readonly Member[];
}

/** A message on its way out. It is plain data, so that a store can keep it. */
export interface Outgoing {
  readonly clientId: string;
  readonly to: Target;
  readonly type: number;
  readonly content: Uint8Array;
  readonly sendTime: number;
  readonly extra?: Readonly<Record<string, string>>;
  readonly wantsReceipt?: boolean;
  readonly isUnstored?: boolean;
  readonly topic?: string;
  readonly expireSeconds?: number;
  readonly stream?: StreamChunk;
}

/** What a client may ask. `login`, `ack` and `heartbeat` are the session's own. */
export type Request =
  | { kind: 'login'; user: string; token: string; device: string }
  | { kind: 'heartbeat' }
  | { kind: 'ack'; seq: number; id: string }
  | { kind: 'send'; message: Outgoing }
  | { kind: 'sync'; after: number; limit: number }
  | { kind: 'syncBefore'; before: number; limit: number }
  | { kind: 'history'; conversation: Target; after?: number; before?: number; limit?: number; topic?: string }
  | { kind: 'conversations'; beforeSeq?: number; limit?: number }
  | { kind: 'revoke'; conversation: Target; messageId: string }
  | { kind: 'receipt'; conversation: Target; messageIds: readonly string[] }
  | { kind: 'markRead'; conversation: Target; through: number }
  /** For this user alone; without `through` up to the newest message. */
  | { kind: 'clearHistory' | 'deleteConversation'; conversation: Target; through?: number }
  | { kind: 'typing'; conversation: Target; isTyping: boolean }
  | { kind: 'presence'; users: readonly string[]; action: 'query' | 'subscribe' | 'unsubscribe' }
  | { kind: 'groupInfo'; group: string; after?: string; limit?: number }
  | { kind: 'groupMembers'; group: string; add?: readonly string[]; remove?: readonly string[] }
  | { kind: 'groupMember'; group: string; user: string; role?: string; mutedUntil?: number }
  | {
      kind: 'groupProfile';
      group: string;
      name?: string;
      avatar?: string;
      attributes?: Record<string, string>;
      join?: string;
    }
  | { kind: 'leaveGroup' | 'joinGroup' | 'dissolveGroup'; group: string }
  | { kind: 'groupRequests'; group: string; after?: string; limit?: number }
  | { kind: 'groupAnswer'; group: string; user: string; answer: 'approve' | 'decline' }
  | { kind: 'profile'; user: string }
  | ({ kind: 'setProfile' } & Profile)
  | { kind: 'reauth'; token: string };

export type RequestKind = Request['kind'];

/** The answers, by the kind of their request. A kind that is not here is answered with nothing. */
export interface Answers {
  login: { epoch: number };
  send: { id: string; seq: number; conversationSeq?: number; time?: number };
  sync: { entries: Entry[]; serverMaxSeq: number; hasMore: boolean };
  syncBefore: { entries: Entry[]; serverMaxSeq: number; hasMore: boolean };
  /** `facts` are the other entries of the page, such as changes of a group. */
  history: { messages: Message[]; facts: Entry[]; newestSeq: number; reachedSeq: number; hasMore: boolean };
  conversations: { rows: ConversationRow[]; hasMore: boolean };
  presence: { states: PresenceState[] };
  groupInfo: GroupInfo;
  groupRequests: { requests: { user: string; time: number }[]; hasMore: boolean };
  profile: Profile & { user: string };
}

export type AnswerOf<K extends RequestKind> = K extends keyof Answers ? Answers[K] : Record<string, never>;

/** Why the server refuses a request, in the words of both protocols. */
export type RefusalKind =
  | 'invalid'
  | 'unauthenticated'
  | 'tokenExpired'
  | 'denied'
  | 'noSuchUser'
  | 'noSuchConversation'
  | 'tooLarge'
  | 'tooFast'
  | 'unavailable'
  | 'operator'
  | 'unknown';

/** A request that the server refused, that was given up, or that the connection cannot carry. */
export class Refused extends Error {
  constructor(
    readonly kind: RefusalKind | 'timeout' | 'stopped' | 'unsupported',
    readonly code: number,
    message: string,
  ) {
    super(message);
    this.name = 'Refused';
  }

  /** Whether the same request may succeed later; nothing was stored. */
  get isTemporary(): boolean {
    return this.kind === 'tooFast' || this.kind === 'unavailable';
  }
}

/** One thing that the server says. `tag` is the request's. */
export type Heard =
  | { kind: 'answer'; tag: number; answer: unknown }
  | { kind: 'refused'; tag: number; refused: Refused }
  | { kind: 'entry'; entry: Entry }
  | { kind: 'typing'; typing: Typing }
  | { kind: 'presence'; state: PresenceState }
  | { kind: 'farewell'; isFinal: boolean; reason: string }
  | { kind: 'noise' };

/** A frame as people read it: for logs and for the panel that shows the wire. */
export interface Described {
  readonly name: string;
  readonly fields: unknown;
}

/** One of the two protocols: requests to frames, and frames to what was heard. It has no state but names that it learned. */
export interface Dialect {
  readonly name: 'binary' | 'jsonrpc';
  readonly path: string;
  /** How often an idle client must be heard. */
  readonly heartbeatMs: number;
  encode(request: Request, tag: number): Uint8Array | string;
  /** `kindOf` is the kind of the unanswered request with a tag. Bytes that are not of the protocol are `noise`. */
  decode(frame: Uint8Array | string, kindOf: (tag: number) => RequestKind | undefined): Heard[];
  describe(frame: Uint8Array | string): Described;
}
