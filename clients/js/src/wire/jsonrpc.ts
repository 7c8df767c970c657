// JSON-RPC over text frames (`proto/jsonrpc.md`): requests to frames, and frames to what was heard.

import type {
  Answers,
  ConversationRow,
  Described,
  Dialect,
  Entry,
  GroupChange,
  GroupInfo,
  Heard,
  Message,
  Outgoing,
  PresenceState,
  RefusalKind,
  Request,
  RequestKind,
  Target,
} from '../model.js';
import { Refused } from '../model.js';
import { clearedOf, extraOf, fromBase64, fromUtf8, objectOf, streamOf, toBase64, utf8 } from './text.js';

type Json = Record<string, any>;

const PERSON = 1;
const GROUP = 2;

const channel = (target: Target): Json =>
  'user' in target
    ? { channelId: target.user, channelType: PERSON }
    : { channelId: target.group, channelType: GROUP };

const targetOf = (params: Json): Target =>
  params.channelType === GROUP ? { group: String(params.channelId) } : { user: String(params.channelId) };

const METHODS: Partial<Record<RequestKind, string>> = {
  login: 'connect',
  heartbeat: 'ping',
  ack: 'recvack',
  syncBefore: 'sync',
};

const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** The dialect of `/rpc`. `deviceFlag` is the number that the server keeps apart devices by, beside their ids. */
export function jsonRpc(options: { deviceFlag?: number } = {}): Dialect {
  const deviceFlag = options.deviceFlag ?? 2;
  const methods = new Map<unknown, string>();
  return {
    name: 'jsonrpc',
    path: '/rpc',
    heartbeatMs: 30_000,
    encode: (request, tag) => encode(request, tag, deviceFlag),
    decode,
    describe: (frame) => describe(frame, methods),
  };
}

function encode(request: Request, tag: number, deviceFlag: number): string {
  const method = METHODS[request.kind] ?? request.kind;
  const head = `{"jsonrpc":"2.0","method":${JSON.stringify(method)},"params":`;
  const params = paramsText(request, deviceFlag);
  // An acknowledgement is a notification: its answer would say nothing.
  return request.kind === 'ack' ? `${head}${params}}` : `${head}${params},"id":${tag}}`;
}

function paramsText(request: Request, deviceFlag: number): string {
  if (request.kind !== 'send') return JSON.stringify(paramsOf(request, deviceFlag));
  const { message } = request;
  const rest = JSON.stringify(sendParams(message));
  // Content that is an object is written as it is, byte for byte; anything else as base64.
  const payload =
    objectOf(message.content) === undefined ? JSON.stringify(toBase64(message.content)) : fromUtf8(message.content);
  return `${rest.slice(0, -1)},"payload":${payload}}`;
}

function sendParams(message: Outgoing): Json {
  const { stream } = message;
  const header = message.isUnstored ? { header: { noPersist: true } } : {};
  const flags = {
    ...(message.wantsReceipt ? { receipt: true } : {}),
    ...(stream ? { stream: true } : {}),
    ...(message.topic ? { topic: true } : {}),
  };
  const extra = extraOf(message.extra, stream);
  return {
    clientMsgNo: message.clientId,
    ...channel(message.to),
    ...header,
    ...(Object.keys(flags).length > 0 ? { setting: flags } : {}),
    ...(message.topic ? { topic: message.topic } : {}),
    ...(message.expireSeconds ? { expire: message.expireSeconds } : {}),
    ...(stream ? { streamNo: stream.no } : {}),
    ...(stream?.isLast ? { streamFlag: 2 } : {}),
    ...(Object.keys(extra).length > 0 ? { extra } : {}),
  };
}

function paramsOf(request: Request, deviceFlag: number): Json {
  switch (request.kind) {
    case 'login':
      return { uid: request.user, token: request.token, deviceId: request.device, deviceFlag, version: 3 };
    case 'ack':
      return { inboxSeq: request.seq };
    case 'sync':
      return { maxSeq: request.after, limit: request.limit };
    case 'syncBefore':
      return { minSeq: request.before, limit: -request.limit };
    case 'history':
      return {
        ...channel(request.conversation),
        afterSeq: request.after,
        beforeSeq: request.before,
        limit: request.limit,
        topic: request.topic,
      };
    case 'revoke':
      return { ...channel(request.conversation), messageId: request.messageId };
    case 'receipt':
      return { ...channel(request.conversation), messageIds: request.messageIds };
    case 'markRead':
    case 'clearHistory':
    case 'deleteConversation':
      return { ...channel(request.conversation), through: request.through };
    case 'typing':
      return { ...channel(request.conversation), status: request.isTyping ? 1 : 0 };
    case 'presence':
      return { userIds: request.users, action: ['query', 'subscribe', 'unsubscribe'].indexOf(request.action) };
    default:
      return peopleParams(request);
  }
}

/** Requests about groups and profiles, whose members have the names of the protocol but for the ids. */
function peopleParams(request: Request): Json {
  const { kind: _, group, user, ...rest } = request as Json & { kind: RequestKind };
  return {
    ...(group === undefined ? {} : { groupId: group }),
    ...(user === undefined ? {} : { userId: user }),
    ...rest,
  };
}

function parse(frame: Uint8Array | string): Json | undefined {
  return objectOf(typeof frame === 'string' ? utf8(frame) : frame) as Json | undefined;
}

function decode(frame: Uint8Array | string, kindOf: (tag: number) => RequestKind | undefined): Heard[] {
  const said = parse(frame);
  if (said === undefined) return [{ kind: 'noise' }];
  try {
    return heardIn(said, kindOf);
  } catch {
    // Members that are missing or of another type: as unknown text.
    return [{ kind: 'noise' }];
  }
}

function heardIn(said: Json, kindOf: (tag: number) => RequestKind | undefined): Heard[] {
  if (typeof said.method === 'string') return notification(said.method, (said.params ?? {}) as Json);
  const tag = said.id;
  if (typeof tag !== 'number') return [{ kind: 'noise' }];
  if (said.error) return [{ kind: 'refused', tag, refused: refusedOf(said.error as Json) }];
  const kind = kindOf(tag);
  if (kind === undefined) return [{ kind: 'noise' }];
  return [{ kind: 'answer', tag, answer: answerOf(kind, (said.result ?? {}) as Json) }];
}

function notification(method: string, params: Json): Heard[] {
  switch (method) {
    case 'recv':
    case 'revoked':
    case 'receipt':
    case 'group':
    case 'cleared':
      return [{ kind: 'entry', entry: entryOf(method === 'recv' ? params : { ...params, type: method }) }];
    case 'typing':
      return [
        {
          kind: 'typing',
          typing: { conversation: targetOf(params), user: String(params.userId), isTyping: params.status === 1 },
        },
      ];
    case 'presence':
      return [{ kind: 'presence', state: stateOf(params) }];
    case 'disconnect':
      return [{ kind: 'farewell', isFinal: true, reason: String(params.reason ?? 'disconnected by the server') }];
    default:
      return [{ kind: 'noise' }];
  }
}

const stateOf = (state: Json): PresenceState => ({
  user: String(state.userId),
  isOnline: state.online === true,
  lastSeen: number(state.lastSeen),
});

const REFUSALS: Record<number, RefusalKind> = {
  1001: 'unauthenticated',
  1002: 'tokenExpired',
  1003: 'unauthenticated',
  1100: 'noSuchUser',
  1101: 'noSuchConversation',
  1102: 'denied',
  1103: 'tooLarge',
  1104: 'tooFast',
  1105: 'invalid',
  1106: 'invalid',
  1500: 'unavailable',
};

function refusedOf(error: Json): Refused {
  const code = number(error.code);
  const kind = code >= 2128 && code <= 2255 ? 'operator' : (REFUSALS[code] ?? (code < 0 ? 'invalid' : 'unknown'));
  return new Refused(kind, code, String(error.message ?? 'refused'));
}

function answerOf(kind: RequestKind, result: Json): unknown {
  switch (kind) {
    case 'login':
      return { epoch: number(result.inboxEpoch) } satisfies Answers['login'];
    case 'send':
      return {
        id: String(result.messageId),
        seq: number(result.inboxSeq),
        conversationSeq: number(result.messageSeq),
      } satisfies Answers['send'];
    case 'sync':
    case 'syncBefore':
      return {
        entries: (result.messages as Json[]).map(entryOf),
        serverMaxSeq: number(result.serverMaxSeq),
        hasMore: result.hasMore === true,
      } satisfies Answers['sync'];
    case 'history':
      return {
        messages: (result.messages as Json[]).filter((it) => it.type === undefined).map(messageOf),
        facts: (result.messages as Json[]).filter((it) => it.type !== undefined).map(entryOf),
        newestSeq: number(result.newestSeq),
        reachedSeq: number(result.reachedSeq),
        hasMore: result.hasMore === true,
      } satisfies Answers['history'];
    case 'conversations':
      return { rows: (result.conversations as Json[]).map(rowOf), hasMore: result.hasMore === true };
    case 'presence':
      return { states: (result.states as Json[]).map(stateOf) };
    case 'groupInfo':
      return groupOf(result);
    case 'groupRequests':
      return {
        requests: (result.requests as Json[]).map((it) => ({ user: String(it.userId), time: number(it.time) })),
        hasMore: result.hasMore === true,
      };
    case 'profile':
      return { user: result.userId, name: result.name, avatar: result.avatar, attributes: result.attributes };
    default:
      return {};
  }
}

const rowOf = (row: Json): ConversationRow => ({
  conversation: targetOf(row),
  ...(row.last ? { last: entryOf(row.last as Json) } : {}),
  lastSeq: number(row.lastSeq),
  unread: number(row.unread),
  readThrough: number(row.readThrough),
  newestSeq: number(row.newestSeq),
});

const groupOf = (group: Json): GroupInfo => ({
  group: String(group.groupId),
  owner: String(group.owner),
  created: number(group.created),
  memberCount: number(group.memberCount),
  newestSeq: number(group.newestSeq),
  name: String(group.name ?? ''),
  avatar: String(group.avatar ?? ''),
  attributes: (group.attributes ?? {}) as Record<string, string>,
  join: String(group.join ?? ''),
  members: ((group.members ?? []) as Json[]).map((member) => ({
    user: String(member.userId),
    role: String(member.role),
    mutedUntil: number(member.mutedUntil),
  })),
});

function entryOf(params: Json): Entry {
  const seq = number(params.inboxSeq);
  const id = String(params.entryId ?? params.messageId);
  const conversation = targetOf(params);
  switch (params.type) {
    case 'revoked': {
      const by = String(params.revokedBy);
      const revoked = { conversation, messageId: String(params.messageId), by, time: number(params.revokedTime) };
      return { kind: 'revoked', seq, id, revoked };
    }
    case 'receipt': {
      const messageIds = (params.messageIds as unknown[]).map(String);
      const receipt = { conversation, messageIds, by: String(params.userId), time: number(params.readTime) };
      return { kind: 'receipt', seq, id, receipt };
    }
    case 'group':
      return { kind: 'group', seq, id, change: changeOf(params) };
    case 'cleared':
      return { kind: 'cleared', seq, id, cleared: clearedOf(params, conversation) };
    default:
      return { kind: 'message', seq, id, message: messageOf(params) };
  }
}

function changeOf(params: Json): GroupChange {
  const { type: _type, entryId: _id, inboxSeq: _seq, channelId: _channel, channelType: _kind, ...change } = params;
  return change as unknown as GroupChange;
}

function messageOf(params: Json): Message {
  const extra = (params.extra ?? {}) as Record<string, string>;
  const payload: unknown = params.payload;
  const isObject = payload !== null && typeof payload === 'object';
  const type = isObject ? number((payload as Json).type) : 0;
  const own = streamOf(extra);
  const stream = own ?? (params.streamNo === undefined ? undefined : chunkOf(params));
  return {
    id: String(params.messageId),
    clientId: String(params.clientMsgNo ?? ''),
    conversation: targetOf(params),
    from: String(params.fromUid),
    type: Number.isSafeInteger(type) && type >= 1 ? type : 1,
    content: isObject ? utf8(JSON.stringify(payload)) : fromBase64(String(payload ?? '')),
    time: number(params.timestamp) * 1000,
    seq: number(params.inboxSeq),
    conversationSeq: number(params.messageSeq),
    extra,
    isRevoked: extra.revoked === '1',
    ...(params.setting?.receipt ? { wantsReceipt: true } : {}),
    ...(params.topic ? { topic: String(params.topic) } : {}),
    ...(params.expire ? { expireSeconds: number(params.expire) } : {}),
    ...(stream ? { stream } : {}),
  };
}

const chunkOf = (params: Json) => ({
  no: String(params.streamNo),
  chunk: Number(params.streamId ?? 1),
  isLast: params.streamFlag === 2,
});

/** Requests whose methods are remembered, to name their answers. */
const DESCRIBED_MAX = 1_000;

function describe(frame: Uint8Array | string, methods: Map<unknown, string>): Described {
  const said = parse(frame);
  if (said === undefined) return { name: 'not JSON', fields: {} };
  const tag = said.id === undefined ? '' : ` #${String(said.id)}`;
  if (typeof said.method === 'string') {
    if (methods.size >= DESCRIBED_MAX) methods.clear();
    if (tag !== '') methods.set(said.id, said.method);
    return { name: `${said.method}${tag}`, fields: said.params ?? {} };
  }
  const outcome = said.error ? 'error' : 'result';
  return { name: `${methods.get(said.id) ?? 'unknown'} ${outcome}${tag}`, fields: said[outcome] ?? {} };
}
