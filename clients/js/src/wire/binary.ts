// The binary protocol (`proto/im.proto`): requests to envelopes, and envelopes to what was heard.

import { create, fromBinary, toBinary, toJson } from '@bufbuild/protobuf';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import * as im from '../generated/im_pb.js';
import type { Described, Dialect, Heard, Outgoing, RefusalKind, Request, RequestKind, Target } from '../model.js';
import { Refused } from '../model.js';
import { extraOf } from './text.js';
import { answerOf, entryOf, Names, revokedOf, receiptOf, stateOf, typingOf } from './binary_heard.js';

const { CommandType: Command, ErrorCode } = im;


const BODIES = {
  [Command.CMD_HEARTBEAT_REQ]: im.HeartbeatRequestSchema,
  [Command.CMD_HEARTBEAT_RSP]: im.HeartbeatResponseSchema,
  [Command.CMD_AUTH_REQ]: im.AuthRequestSchema,
  [Command.CMD_AUTH_RSP]: im.AuthResponseSchema,
  [Command.CMD_REAUTH_REQ]: im.AuthRequestSchema,
  [Command.CMD_REAUTH_RSP]: im.AuthResponseSchema,
  [Command.CMD_KICK_OUT]: im.KickOutNotificationSchema,
  [Command.CMD_SEND_MSG_REQ]: im.SendMessageRequestSchema,
  [Command.CMD_SEND_MSG_RSP]: im.SendMessageResponseSchema,
  [Command.CMD_PUSH_MSG]: im.PushMessageSchema,
  [Command.CMD_MSG_ACK]: im.MessageAckSchema,
  [Command.CMD_REVOKE_MSG_REQ]: im.RevokeMessageRequestSchema,
  [Command.CMD_REVOKE_MSG_RSP]: im.RevokeMessageResponseSchema,
  [Command.CMD_REVOKE_MSG_PUSH]: im.RevokeMessagePushSchema,
  [Command.CMD_SYNC_REQ]: im.SyncRequestSchema,
  [Command.CMD_SYNC_RSP]: im.SyncResponseSchema,
  [Command.CMD_PRESENCE_REQ]: im.PresenceRequestSchema,
  [Command.CMD_PRESENCE_RSP]: im.PresenceResponseSchema,
  [Command.CMD_PRESENCE_PUSH]: im.PresenceStateSchema,
  [Command.CMD_READ_RECEIPT_REQ]: im.ReadReceiptRequestSchema,
  [Command.CMD_READ_RECEIPT_RSP]: im.ReadReceiptResponseSchema,
  [Command.CMD_READ_RECEIPT_PUSH]: im.ReadReceiptPushSchema,
  [Command.CMD_TYPING_STATUS_REQ]: im.TypingStatusRequestSchema,
  [Command.CMD_TYPING_STATUS_PUSH]: im.TypingStatusPushSchema,
  [Command.CMD_CONVERSATIONS_REQ]: im.ConversationsRequestSchema,
  [Command.CMD_CONVERSATIONS_RSP]: im.ConversationsResponseSchema,
  [Command.CMD_MARK_READ_REQ]: im.MarkReadRequestSchema,
  [Command.CMD_MARK_READ_RSP]: im.MarkReadResponseSchema,
  [Command.CMD_HISTORY_REQ]: im.HistoryRequestSchema,
  [Command.CMD_HISTORY_RSP]: im.HistoryResponseSchema,
  [Command.CMD_GROUP_INFO_REQ]: im.GroupInfoRequestSchema,
  [Command.CMD_GROUP_INFO_RSP]: im.GroupInfoResponseSchema,
  [Command.CMD_GROUP_MEMBERS_REQ]: im.GroupMembersRequestSchema,
  [Command.CMD_GROUP_MEMBERS_RSP]: im.GroupChangeResponseSchema,
  [Command.CMD_GROUP_MEMBER_REQ]: im.GroupMemberRequestSchema,
  [Command.CMD_GROUP_MEMBER_RSP]: im.GroupChangeResponseSchema,
  [Command.CMD_GROUP_PROFILE_REQ]: im.GroupProfileRequestSchema,
  [Command.CMD_GROUP_PROFILE_RSP]: im.GroupChangeResponseSchema,
  [Command.CMD_GROUP_LEAVE_REQ]: im.GroupRequestSchema,
  [Command.CMD_GROUP_LEAVE_RSP]: im.GroupChangeResponseSchema,
  [Command.CMD_GROUP_JOIN_REQ]: im.GroupRequestSchema,
  [Command.CMD_GROUP_JOIN_RSP]: im.GroupChangeResponseSchema,
  [Command.CMD_GROUP_DISSOLVE_REQ]: im.GroupRequestSchema,
  [Command.CMD_GROUP_DISSOLVE_RSP]: im.GroupChangeResponseSchema,
  [Command.CMD_GROUP_REQUESTS_REQ]: im.GroupRequestsRequestSchema,
  [Command.CMD_GROUP_REQUESTS_RSP]: im.GroupRequestsResponseSchema,
  [Command.CMD_GROUP_ANSWER_REQ]: im.GroupAnswerRequestSchema,
  [Command.CMD_GROUP_ANSWER_RSP]: im.GroupChangeResponseSchema,
  [Command.CMD_PROFILE_REQ]: im.ProfileRequestSchema,
  [Command.CMD_PROFILE_RSP]: im.ProfileResponseSchema,
  [Command.CMD_SET_PROFILE_REQ]: im.SetProfileRequestSchema,
  [Command.CMD_SET_PROFILE_RSP]: im.GroupChangeResponseSchema,
  [Command.CMD_CLEAR_HISTORY_REQ]: im.ClearRequestSchema,
  [Command.CMD_CLEAR_HISTORY_RSP]: im.ClearResponseSchema,
  [Command.CMD_DELETE_CONVERSATION_REQ]: im.ClearRequestSchema,
  [Command.CMD_DELETE_CONVERSATION_RSP]: im.ClearResponseSchema,
  [Command.CMD_UNKNOWN]: im.UnknownResponseSchema,
} as const;

/** The dialect of `/ws`. Make one for each client: it learns the user's own names of conversations. */
export function binary(): Dialect {
  const names = new Names();
  return {
    name: 'binary',
    path: '/ws',
    heartbeatMs: 30_000,
    encode(request, tag) {
      if (request.kind === 'login') names.user = request.user;
      return encode(request, tag, names.user);
    },
    decode: (frame, kindOf) => (typeof frame === 'string' ? [{ kind: 'noise' }] : decode(frame, kindOf, names)),
    describe,
  };
}

function encode(request: Request, tag: number, user: string): Uint8Array {
  const [command, body] = bodyOf(request, user);
  const sequence = request.kind === 'ack' ? 0 : tag;
  const envelope = create(im.WebSocketMessageSchema, { command, sequence, body });
  return toBinary(im.WebSocketMessageSchema, envelope);
}

/** An unambiguous name, which means the same conversation whatever the user has named so. */
const nameOf = (target: Target): string => ('user' in target ? `peer:${target.user}` : `group:${target.group}`);

function bytesOf<D extends DescMessage>(schema: D, init: MessageInitShape<D>): Uint8Array {
  return toBinary(schema, create(schema, init) as MessageShape<D>);
}

type Coded = [im.CommandType, Uint8Array];

/** `user` is who has logged in. */
function bodyOf(request: Request, user: string): Coded {
  switch (request.kind) {
    case 'login': {
      const { token, device } = request;
      return [Command.CMD_AUTH_REQ, bytesOf(im.AuthRequestSchema, { userId: user, token, platform: device })];
    }
    case 'reauth':
      return [Command.CMD_REAUTH_REQ, bytesOf(im.AuthRequestSchema, { userId: user, token: request.token })];
    case 'heartbeat':
      return [Command.CMD_HEARTBEAT_REQ, new Uint8Array()];
    case 'ack':
      return [Command.CMD_MSG_ACK, bytesOf(im.MessageAckSchema, { messageId: request.id, seq: BigInt(request.seq) })];
    case 'send':
      return [Command.CMD_SEND_MSG_REQ, sendBytes(request.message)];
    case 'sync':
      return [
        Command.CMD_SYNC_REQ,
        bytesOf(im.SyncRequestSchema, { maxSeq: BigInt(request.after), limit: request.limit }),
      ];
    case 'syncBefore':
      return [
        Command.CMD_SYNC_REQ,
        bytesOf(im.SyncRequestSchema, { minSeq: BigInt(request.before), limit: -request.limit }),
      ];
    default:
      return conversationBody(request) ?? groupBody(request);
  }
}

function sendBytes(message: Outgoing): Uint8Array {
  if (message.isUnstored || message.topic || message.expireSeconds || message.wantsReceipt) {
    throw new Refused('unsupported', 0, 'only JSON-RPC has topics, expiry, receipts on request and unstored messages');
  }
  const to = 'user' in message.to ? { receiverId: message.to.user } : { groupId: message.to.group };
  return bytesOf(im.SendMessageRequestSchema, {
    clientMsgId: message.clientId,
    ...to,
    messageType: message.type,
    content: message.content,
    sendTime: BigInt(message.sendTime),
    extra: extraOf(message.extra, message.stream),
  });
}

const CLEARINGS = {
  clearHistory: Command.CMD_CLEAR_HISTORY_REQ,
  deleteConversation: Command.CMD_DELETE_CONVERSATION_REQ,
} as const;

function conversationBody(request: Request): Coded | undefined {
  switch (request.kind) {
    case 'history': {
      const conversationId = nameOf(request.conversation);
      const { after, before, limit, topic } = request;
      return [
        Command.CMD_HISTORY_REQ,
        bytesOf(im.HistoryRequestSchema, {
          conversationId,
          ...(after === undefined ? {} : { afterSeq: BigInt(after) }),
          ...(before === undefined ? {} : { beforeSeq: BigInt(before) }),
          limit: limit ?? 0,
          topic: topic ?? '',
        }),
      ];
    }
    case 'conversations':
      return [
        Command.CMD_CONVERSATIONS_REQ,
        bytesOf(im.ConversationsRequestSchema, {
          beforeSeq: BigInt(request.beforeSeq ?? 0),
          limit: request.limit ?? 0,
        }),
      ];
    case 'revoke': {
      const { messageId } = request;
      const conversationId = nameOf(request.conversation);
      return [Command.CMD_REVOKE_MSG_REQ, bytesOf(im.RevokeMessageRequestSchema, { messageId, conversationId })];
    }
    case 'receipt': {
      const conversationId = nameOf(request.conversation);
      const messageIds = [...request.messageIds];
      return [Command.CMD_READ_RECEIPT_REQ, bytesOf(im.ReadReceiptRequestSchema, { messageIds, conversationId })];
    }
    case 'markRead': {
      const conversationId = nameOf(request.conversation);
      const through = BigInt(request.through);
      return [Command.CMD_MARK_READ_REQ, bytesOf(im.MarkReadRequestSchema, { conversationId, through })];
    }
    case 'clearHistory':
    case 'deleteConversation': {
      const conversationId = nameOf(request.conversation);
      const through = BigInt(request.through ?? 0);
      return [CLEARINGS[request.kind], bytesOf(im.ClearRequestSchema, { conversationId, through })];
    }
    case 'typing': {
      const conversationId = nameOf(request.conversation);
      const status = request.isTyping ? 1 : 0;
      return [Command.CMD_TYPING_STATUS_REQ, bytesOf(im.TypingStatusRequestSchema, { conversationId, status })];
    }
    case 'presence': {
      const action = ['query', 'subscribe', 'unsubscribe'].indexOf(request.action);
      return [Command.CMD_PRESENCE_REQ, bytesOf(im.PresenceRequestSchema, { userIds: [...request.users], action })];
    }
    default:
      return undefined;
  }
}

const GROUP_COMMANDS = {
  leaveGroup: Command.CMD_GROUP_LEAVE_REQ,
  joinGroup: Command.CMD_GROUP_JOIN_REQ,
  dissolveGroup: Command.CMD_GROUP_DISSOLVE_REQ,
} as const;

function groupBody(request: Request): Coded {
  switch (request.kind) {
    case 'groupInfo': {
      const { group: groupId, after = '', limit = 0 } = request;
      return [Command.CMD_GROUP_INFO_REQ, bytesOf(im.GroupInfoRequestSchema, { groupId, after, limit })];
    }
    case 'groupMembers': {
      const { group: groupId, add = [], remove = [] } = request;
      const init = { groupId, add: [...add], remove: [...remove] };
      return [Command.CMD_GROUP_MEMBERS_REQ, bytesOf(im.GroupMembersRequestSchema, init)];
    }
    case 'groupMember': {
      const { group: groupId, user: userId, role, mutedUntil } = request;
      const change = {
        ...(role === undefined ? {} : { role }),
        ...(mutedUntil === undefined ? {} : { mutedUntil: BigInt(mutedUntil) }),
      };
      return [Command.CMD_GROUP_MEMBER_REQ, bytesOf(im.GroupMemberRequestSchema, { groupId, userId, ...change })];
    }
    case 'groupProfile': {
      const { kind: _, group: groupId, attributes, ...rest } = request;
      const entries = attributes === undefined ? {} : { attributes: { entries: attributes } };
      return [Command.CMD_GROUP_PROFILE_REQ, bytesOf(im.GroupProfileRequestSchema, { groupId, ...rest, ...entries })];
    }
    case 'leaveGroup':
    case 'joinGroup':
    case 'dissolveGroup':
      return [GROUP_COMMANDS[request.kind], bytesOf(im.GroupRequestSchema, { groupId: request.group })];
    case 'groupRequests': {
      const { group: groupId, after = '', limit = 0 } = request;
      return [Command.CMD_GROUP_REQUESTS_REQ, bytesOf(im.GroupRequestsRequestSchema, { groupId, after, limit })];
    }
    case 'groupAnswer': {
      const { group: groupId, user: userId, answer } = request;
      return [Command.CMD_GROUP_ANSWER_REQ, bytesOf(im.GroupAnswerRequestSchema, { groupId, userId, answer })];
    }
    case 'profile':
      return [Command.CMD_PROFILE_REQ, bytesOf(im.ProfileRequestSchema, { userId: request.user })];
    case 'setProfile': {
      const { name, avatar, attributes } = request;
      const profile = { name, avatar, attributes: { ...attributes } };
      return [Command.CMD_SET_PROFILE_REQ, bytesOf(im.SetProfileRequestSchema, { profile })];
    }
    default:
      throw new Refused('unsupported', 0, `the binary protocol has no request ${request.kind}`);
  }
}

const REFUSALS: Partial<Record<number, RefusalKind>> = {
  [ErrorCode.ERR_UNKNOWN]: 'unavailable',
  [ErrorCode.ERR_INVALID_PARAM]: 'invalid',
  [ErrorCode.ERR_AUTH_FAILED]: 'unauthenticated',
  [ErrorCode.ERR_TOKEN_EXPIRED]: 'tokenExpired',
  [ErrorCode.ERR_PERMISSION_DENIED]: 'denied',
  [ErrorCode.ERR_USER_NOT_EXIST]: 'noSuchUser',
  [ErrorCode.ERR_MESSAGE_TOO_LARGE]: 'tooLarge',
  [ErrorCode.ERR_SEND_TOO_FAST]: 'tooFast',
  [ErrorCode.ERR_CONVERSATION_NOT_EXIST]: 'noSuchConversation',
};

function refusalKind(code: number): RefusalKind {
  return REFUSALS[code] ?? (code >= 128 && code <= 255 ? 'operator' : 'unknown');
}

function envelopeOf(frame: Uint8Array): im.WebSocketMessage | undefined {
  try {
    return fromBinary(im.WebSocketMessageSchema, frame);
  } catch {
    return undefined;
  }
}

/** Reasons of `KickOutNotification` after which coming back would be of no use: another device, a disabled account. */
const FINAL_REASONS = [1, 2];

function decode(frame: Uint8Array, kindOf: (tag: number) => RequestKind | undefined, names: Names): Heard[] {
  const envelope = envelopeOf(frame);
  if (envelope === undefined) return [{ kind: 'noise' }];
  try {
    const heard = envelope.sequence === 0 ? pushed(envelope, names) : answered(envelope, kindOf, names);
    return [heard ?? { kind: 'noise' }];
  } catch {
    // A body that cannot be decoded: as unknown bytes.
    return [{ kind: 'noise' }];
  }
}

function pushed({ command, body }: im.WebSocketMessage, names: Names): Heard | undefined {
  switch (command) {
    case Command.CMD_PUSH_MSG:
      return { kind: 'entry', entry: entryOf(fromBinary(im.PushMessageSchema, body), names) };
    case Command.CMD_REVOKE_MSG_PUSH: {
      const revoked = revokedOf(fromBinary(im.RevokeMessagePushSchema, body), names);
      return { kind: 'entry', entry: { kind: 'revoked', seq: 0, id: '', revoked } };
    }
    case Command.CMD_READ_RECEIPT_PUSH: {
      const receipt = receiptOf(fromBinary(im.ReadReceiptPushSchema, body), names);
      return { kind: 'entry', entry: { kind: 'receipt', seq: 0, id: '', receipt } };
    }
    case Command.CMD_TYPING_STATUS_PUSH:
      return { kind: 'typing', typing: typingOf(fromBinary(im.TypingStatusPushSchema, body), names) };
    case Command.CMD_PRESENCE_PUSH:
      return { kind: 'presence', state: stateOf(fromBinary(im.PresenceStateSchema, body)) };
    case Command.CMD_KICK_OUT: {
      const { reason, message } = fromBinary(im.KickOutNotificationSchema, body);
      return { kind: 'farewell', isFinal: FINAL_REASONS.includes(reason), reason: message };
    }
    default:
      return undefined;
  }
}

function answered(
  envelope: im.WebSocketMessage,
  kindOf: (tag: number) => RequestKind | undefined,
  names: Names,
): Heard | undefined {
  const { sequence: tag, command, body } = envelope;
  // Every response begins with these two fields.
  const { errorCode, errorMsg } =
    command === Command.CMD_HEARTBEAT_RSP
      ? { errorCode: ErrorCode.ERR_SUCCESS, errorMsg: '' }
      : fromBinary(im.UnknownResponseSchema, body);
  if (errorCode !== ErrorCode.ERR_SUCCESS) {
    return { kind: 'refused', tag, refused: new Refused(refusalKind(errorCode), errorCode, errorMsg) };
  }
  const kind = kindOf(tag);
  return kind === undefined ? undefined : { kind: 'answer', tag, answer: answerOf(kind, body, names) };
}

function describe(frame: Uint8Array | string): Described {
  const envelope = typeof frame === 'string' ? undefined : envelopeOf(frame);
  if (envelope === undefined) return { name: 'not an envelope', fields: {} };
  const { command, sequence, body } = envelope;
  const name = `${Command[command] ?? `command ${command}`}${sequence > 0 ? ` #${sequence}` : ''}`;
  const schema = (BODIES as Partial<Record<number, DescMessage>>)[command];
  try {
    return { name, fields: schema === undefined ? { bytes: body.length } : toJson(schema, fromBinary(schema, body)) };
  } catch {
    return { name, fields: { bytes: body.length } };
  }
}

