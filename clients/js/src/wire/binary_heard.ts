// What the server says in the binary protocol, in the words of the model.

import { fromBinary } from '@bufbuild/protobuf';
import * as im from '../generated/im_pb.js';
import type {
  ConversationRow,
  Entry,
  GroupChange,
  GroupInfo,
  Message,
  PresenceState,
  Profile,
  Receipt,
  RequestKind,
  Revoked,
  Target,
  Typing,
} from '../model.js';
import { clearedOf, objectOf, streamOf } from './text.js';

const REVOKED = 1001;
const RECEIPT = 1002;
const GROUP_CHANGE = 1003;
const CLEARED = 1004;

/** Names of the user's own that are remembered at most. */
const LEARNED_MAX = 10_000;

/**
 * Which conversation a name means to this user. Messages tell it; pushes without a message (revocations, receipts,
 * typing) have only the name.
 */
export class Names {
  user = '';
  private readonly learned = new Map<string, Target>();

  learn(name: string, target: Target): void {
    if (this.learned.size >= LEARNED_MAX) this.learned.clear();
    this.learned.set(name, target);
  }

  /** `other` is the user who caused the push: the peer, unless it is this user. */
  meant(name: string, other: string): Target {
    const learned = this.learned.get(name);
    if (learned !== undefined) return learned;
    if (name.startsWith('group:')) return { group: name.slice(6) };
    if (name.startsWith('peer:')) return { user: name.slice(5) };
    if (name.startsWith('group_')) return { group: name.slice(6) };
    return { user: other === this.user ? this.peerIn(name) : other };
  }

  /** The peer in `single_<a>_<b>`. */
  private peerIn(name: string): string {
    const pair = name.replace(/^single_/, '');
    if (pair.startsWith(`${this.user}_`)) return pair.slice(this.user.length + 1);
    if (pair.endsWith(`_${this.user}`)) return pair.slice(0, -this.user.length - 1);
    return pair;
  }
}

export function entryOf(push: im.PushMessage, names: Names): Entry {
  const seq = Number(push.seq);
  const id = push.messageId;
  const target = targetOf(push, names);
  names.learn(push.conversationId, target);
  switch (push.messageType) {
    case REVOKED:
      return { kind: 'revoked', seq, id, revoked: revokedOf(fromBinary(im.RevokeMessagePushSchema, push.content), names) };
    case RECEIPT:
      return { kind: 'receipt', seq, id, receipt: receiptOf(fromBinary(im.ReadReceiptPushSchema, push.content), names) };
    case GROUP_CHANGE:
      return { kind: 'group', seq, id, change: (objectOf(push.content) ?? {}) as unknown as GroupChange };
    case CLEARED:
      return { kind: 'cleared', seq, id, cleared: clearedOf(objectOf(push.content) ?? {}, target) };
    default:
      return { kind: 'message', seq, id, message: messageOf(push, target) };
  }
}

function targetOf(push: im.PushMessage, names: Names): Target {
  if (push.groupId !== '') return { group: push.groupId };
  return { user: push.senderId === names.user ? push.receiverId : push.senderId };
}

function messageOf(push: im.PushMessage, conversation: Target, conversationSeq?: number): Message {
  const stream = streamOf(push.extra);
  return {
    id: push.messageId,
    clientId: push.clientMsgId,
    conversation,
    from: push.senderId,
    type: push.messageType,
    content: push.content,
    time: Number(push.serverTime),
    seq: Number(push.seq),
    ...(conversationSeq === undefined ? {} : { conversationSeq }),
    extra: push.extra,
    isRevoked: push.extra.revoked === '1',
    ...(stream === undefined ? {} : { stream }),
  };
}

export const revokedOf = (push: im.RevokeMessagePush, names: Names): Revoked => ({
  conversation: names.meant(push.conversationId, push.revokedBy),
  messageId: push.messageId,
  by: push.revokedBy,
  time: Number(push.revokedTime),
});

export const receiptOf = (push: im.ReadReceiptPush, names: Names): Receipt => ({
  conversation: names.meant(push.conversationId, push.userId),
  messageIds: push.messageIds,
  by: push.userId,
  time: Number(push.readTime),
});

export const typingOf = (push: im.TypingStatusPush, names: Names): Typing => ({
  conversation: names.meant(push.conversationId, push.userId),
  user: push.userId,
  isTyping: push.status === 1,
});

export const stateOf = (state: im.PresenceState): PresenceState => ({
  user: state.userId,
  isOnline: state.online,
  lastSeen: Number(state.lastSeen),
});

const profileOf = (profile: im.Profile | undefined): Profile => ({
  name: profile?.name ?? '',
  avatar: profile?.avatar ?? '',
  attributes: profile?.attributes ?? {},
});

export function answerOf(kind: RequestKind, body: Uint8Array, names: Names): unknown {
  switch (kind) {
    case 'login':
      return { epoch: Number(fromBinary(im.AuthResponseSchema, body).inboxEpoch) };
    case 'send': {
      const { messageId, seq, serverTime } = fromBinary(im.SendMessageResponseSchema, body);
      return { id: messageId, seq: Number(seq), time: Number(serverTime) };
    }
    case 'sync':
    case 'syncBefore': {
      const { messages, serverMaxSeq, hasMore } = fromBinary(im.SyncResponseSchema, body);
      const entries = messages.map((push) => entryOf(push, names));
      return { entries, serverMaxSeq: Number(serverMaxSeq), hasMore };
    }
    case 'history':
      return historyOf(fromBinary(im.HistoryResponseSchema, body), names);
    case 'conversations': {
      const { conversations, hasMore } = fromBinary(im.ConversationsResponseSchema, body);
      return { rows: conversations.map((row) => rowOf(row, names)), hasMore };
    }
    case 'presence':
      return { states: fromBinary(im.PresenceResponseSchema, body).states.map(stateOf) };
    case 'groupInfo':
      return groupOf(fromBinary(im.GroupInfoResponseSchema, body));
    case 'groupRequests': {
      const { requests, hasMore } = fromBinary(im.GroupRequestsResponseSchema, body);
      return { requests: requests.map((it) => ({ user: it.userId, time: Number(it.time) })), hasMore };
    }
    case 'profile': {
      const { userId, profile } = fromBinary(im.ProfileResponseSchema, body);
      return { user: userId, ...profileOf(profile) };
    }
    default:
      return {};
  }
}

function historyOf(history: im.HistoryResponse, names: Names) {
  const isFact = (type: number) => type >= REVOKED && type <= CLEARED;
  const messages = history.messages.flatMap(({ message, conversationSeq }) => {
    if (message === undefined || isFact(message.messageType)) return [];
    const target = targetOf(message, names);
    return [messageOf(message, target, Number(conversationSeq))];
  });
  const facts = history.messages.flatMap(({ message }) =>
    message !== undefined && isFact(message.messageType) ? [entryOf(message, names)] : [],
  );
  const { newestSeq, reachedSeq, hasMore } = history;
  return { messages, facts, newestSeq: Number(newestSeq), reachedSeq: Number(reachedSeq), hasMore };
}

function rowOf(row: im.ConversationRow, names: Names): ConversationRow {
  const conversation: Target = row.groupId === '' ? { user: row.peerId } : { group: row.groupId };
  names.learn(row.conversationId, conversation);
  return {
    conversation,
    ...(row.last === undefined ? {} : { last: entryOf(row.last, names) }),
    lastSeq: Number(row.lastSeq),
    unread: Number(row.unread),
    readThrough: Number(row.readThrough),
    newestSeq: Number(row.newestSeq),
  };
}

const groupOf = (group: im.GroupInfoResponse): GroupInfo => ({
  group: group.groupId,
  owner: group.ownerId,
  created: Number(group.created),
  memberCount: Number(group.memberCount),
  newestSeq: Number(group.newestSeq),
  ...profileOf(group.profile),
  join: group.join,
  members: group.members.map(({ userId, role, mutedUntil }) => ({ user: userId, role, mutedUntil: Number(mutedUntil) })),
});
