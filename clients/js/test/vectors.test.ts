// Both dialects against the server's golden vectors: what is written is what the server reads, and the other way round.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { binary, jsonRpc, textOf, type Heard, type Outgoing, type Request, type RequestKind } from '../src/index.js';
import { utf8 } from '../src/wire/text.js';
import { binaryVectors, jsonRpcVectors } from './vectors.js';

const BIN = binaryVectors();
const RPC = jsonRpcVectors();
const EPOCH = 2 ** 53 - 1;
const BOB = { user: 'bob' };
const TEAM = { group: 'team' };

const group: Outgoing = { clientId: 'c-2', to: TEAM, type: 1, content: new Uint8Array(), sendTime: 0 };
const PROFILE = { name: 'Crew', avatar: 'a.png', attributes: { k: 'v' } };

/** The requests that vectors of both protocols have, by the vectors' names. */
const REQUESTS: [string, Request][] = [
  ['sync request|sync request forward', { kind: 'sync', after: 7, limit: 50 }],
  ['revoke request', { kind: 'revoke', conversation: BOB, messageId: '900' }],
  ['receipt request', { kind: 'receipt', conversation: BOB, messageIds: ['900', '901'] }],
  ['typing request', { kind: 'typing', conversation: BOB, isTyping: true }],
  ['mark read request', { kind: 'markRead', conversation: BOB, through: 11 }],
  ['clear request', { kind: 'clearHistory', conversation: BOB, through: 11 }],
  ['delete request', { kind: 'deleteConversation', conversation: BOB, through: 11 }],
  ['presence request', { kind: 'presence', users: ['bob', 'carol'], action: 'subscribe' }],
  ['conversations request', { kind: 'conversations', beforeSeq: 9, limit: 2 }],
  ['history request up', { kind: 'history', conversation: TEAM, after: 0, limit: 50, topic: 't' }],
  ['history request down', { kind: 'history', conversation: TEAM, before: 12 }],
  ['reauth request', { kind: 'reauth', token: 'fresh' }],
  ['group info request', { kind: 'groupInfo', group: 'team', after: 'aaron', limit: 2 }],
  ['group members request', { kind: 'groupMembers', group: 'team', add: ['carol', 'dave'], remove: ['bob'] }],
  ['group member request', { kind: 'groupMember', group: 'team', user: 'bob', role: 'admin', mutedUntil: 1700000000000 }],
  ['group profile request', { kind: 'groupProfile', group: 'team', ...PROFILE, join: 'open' }],
  ['leave group request|group leave request', { kind: 'leaveGroup', group: 'team' }],
  ['join group request|group join request', { kind: 'joinGroup', group: 'team' }],
  ['group requests request', { kind: 'groupRequests', group: 'team', after: 'alice', limit: 2 }],
  ['group answer request', { kind: 'groupAnswer', group: 'team', user: 'bob', answer: 'approve' }],
  ['dissolve group request|group dissolve request', { kind: 'dissolveGroup', group: 'team' }],
  ['profile request', { kind: 'profile', user: 'bob' }],
  ['set profile request', { kind: 'setProfile', ...PROFILE }],
];

test('requests of JSON-RPC are those of the vectors', () => {
  for (const [names, request] of REQUESTS) {
    const vector = JSON.parse(RPC.get(names.split('|')[0]!)![0]!);
    const written = JSON.parse(String(jsonRpc().encode(request, 7)));
    assert.deepEqual(written.params, vector.params, names);
    assert.equal(written.method, vector.method);
    assert.equal(written.id, 7);
  }
});

test('requests of the binary protocol are those of the vectors', () => {
  const named = (fields: any) => ({ ...fields, ...(fields.conversationId ? { conversationId: '' } : {}) });
  for (const [names, request] of REQUESTS) {
    const dialect = binary();
    const vector = dialect.describe(BIN.get(names.split('|').at(-1)!)!);
    const written = dialect.describe(dialect.encode(request, 7));
    assert.equal(written.name.split(' ')[0], vector.name.split(' ')[0], names);
    // The vectors name conversations in their own way; a user of the reauth is optional.
    const { userId: _, platform: __, ...expected } = named(vector.fields);
    const { userId: ___, ...actual } = named(written.fields);
    assert.deepEqual(actual, request.kind === 'reauth' || !('userId' in (vector.fields as object)) ? expected : { ...expected, ...actual }, names);
  }
});

test('a login, a message to a group and an acknowledgement are those of the vectors', () => {
  const dialect = binary();
  const login: Request = { kind: 'login', user: 'alice', token: 'tok', device: 'iOS' };
  for (const [name, request] of [
    ['auth request', login],
    ['send request to a group', { kind: 'send', message: group }],
    ['heartbeat request', { kind: 'heartbeat' }],
  ] as [string, Request][]) {
    const vector = dialect.describe(BIN.get(name)!);
    const written = dialect.describe(dialect.encode(request, 1));
    assert.equal(written.name.split(' ')[0], vector.name.split(' ')[0]);
    if (request.kind !== 'heartbeat') assert.deepEqual(written.fields, vector.fields, name);
  }
  const ack = JSON.parse(String(jsonRpc().encode({ kind: 'ack', seq: 8, id: '' }, 0)));
  assert.deepEqual(ack.params, JSON.parse(RPC.get('recvack request through a seq')![0]!).params);
  assert.equal('id' in ack, false);
});

test('content that is an object goes out byte for byte, anything else as base64', () => {
  const exact = '{ "type" : 3, "content": "Hello!" }';
  const message = { ...group, content: utf8(exact) };
  assert.ok(String(jsonRpc().encode({ kind: 'send', message }, 1)).includes(`"payload":${exact}`));
  const bytes = { ...group, content: Uint8Array.of(0, 255) };
  assert.equal(JSON.parse(String(jsonRpc().encode({ kind: 'send', message: bytes }, 1))).params.payload, 'AP8=');
});

/** Decodes a vector that answers a request of `kind`. */
function heardRpc(name: string, kind?: RequestKind): Heard {
  return jsonRpc().decode(numbered(RPC.get(name)![0]!), () => kind)[0]!;
}

/** The vectors' ids are texts; the kit's are numbers. */
const numbered = (text: string) => text.replace(/"id":"[^"]*"/, '"id":1');

function heardBinary(name: string, kind?: RequestKind): Heard {
  const dialect = binary();
  dialect.encode({ kind: 'login', user: 'alice', token: '', device: '' }, 1);
  return dialect.decode(BIN.get(name)!, () => kind)[0]!;
}

function answers(name: string, kind: RequestKind): any[] {
  const both = [heardRpc(name, kind), heardBinary(name, kind)];
  return both.map((heard) => {
    assert.equal(heard.kind, 'answer', name);
    return (heard as { answer: unknown }).answer;
  });
}

test('answers say the same in both protocols', () => {
  assert.deepEqual(heardRpc('connect response', 'login'), { kind: 'answer', tag: 1, answer: { epoch: EPOCH } });
  assert.deepEqual(heardBinary('auth response', 'login'), { kind: 'answer', tag: 1, answer: { epoch: EPOCH } });
  for (const sent of answers('send response', 'send')) assert.deepEqual([sent.id, sent.seq], ['900', 43]);
  for (const name of ['conversations response', 'presence response', 'group info response', 'group requests response', 'profile response']) {
    const kind = { conversations: 'conversations', presence: 'presence', profile: 'profile' }[name.split(' ')[0]!];
    const asked = (kind ?? (name.includes('info') ? 'groupInfo' : 'groupRequests')) as RequestKind;
    const [rpc, bin] = answers(name, asked);
    if (asked === 'conversations') {
      const place = (row: any) => [row.conversation, row.lastSeq, row.unread, row.readThrough, row.newestSeq];
      assert.ok(rpc.rows.length === 2 && bin.rows.length === 2 && rpc.hasMore && bin.hasMore);
      assert.deepEqual(rpc.rows.map(place).length, bin.rows.map(place).length);
    } else {
      assert.deepEqual(rpc, bin, name);
    }
  }
  for (const history of answers('history response', 'history')) {
    assert.deepEqual([history.newestSeq, history.reachedSeq, history.hasMore], [13, 12, true]);
    assert.equal(history.messages[0].conversationSeq, 12);
  }
});

test('a renewal names the user of the session, without whom the server refuses it', () => {
  const dialect = binary();
  dialect.encode({ kind: 'login', user: 'alice', token: 'tok', device: '' }, 1);
  const { fields } = dialect.describe(dialect.encode({ kind: 'reauth', token: 'fresh' }, 2));
  assert.deepEqual(fields, { userId: 'alice', token: 'fresh' });
});

test('what happened is read from a page as it was pushed', () => {
  for (const page of answers('sync response with what happened', 'sync')) {
    assert.deepEqual(page.entries.map((entry: any) => entry.kind), ['revoked', 'receipt', 'group']);
    assert.deepEqual(page.entries.map((entry: any) => entry.seq), [10, 11, 12]);
    assert.equal(page.entries[0].revoked.messageId, '900');
    assert.deepEqual(page.entries[1].receipt.messageIds, ['700', '701']);
    assert.equal(page.entries[2].change.change, 'added');
  }
  const revoked = heardRpc('recv of a message taken back') as any;
  assert.equal(revoked.entry.message.isRevoked, true);
});

test('pushes are entries, and facts of the binary protocol have no seq', () => {
  const recv = heardRpc('recv') as any;
  assert.deepEqual([recv.entry.seq, recv.entry.message.from, textOf(recv.entry.message)], [8, 'alice', 'Hello!']);
  assert.equal(recv.entry.message.wantsReceipt, true);
  const streamed = heardRpc('recv with everything') as any;
  assert.deepEqual(streamed.entry.message.stream, { no: 's-1', chunk: 4, isLast: true });
  const push = heardBinary('push message') as any;
  assert.deepEqual([push.entry.seq, [...push.entry.message.content]], [8, [0, 255]]);
  for (const name of ['revoke push', 'receipt push']) {
    const fact = heardBinary(name) as any;
    assert.equal(fact.entry.seq, 0);
    assert.ok(fact.entry[fact.entry.kind].conversation.user !== '');
  }
  assert.equal((heardRpc('disconnect') as any).isFinal, true);
  assert.equal(heardBinary('kick out').kind, 'farewell');
  for (const heard of [heardRpc('typing'), heardBinary('typing push')]) assert.equal(heard.kind, 'typing');
  assert.deepEqual(heardRpc('presence'), heardBinary('presence push'));
});

test('refusals have the same kind in both protocols', () => {
  for (const [name, kind] of [['send response that refuses', 'noSuchUser']] as const) {
    for (const heard of [heardRpc(name, 'send'), heardBinary(name, 'send')] as any[]) {
      assert.equal(heard.refused.kind, kind);
    }
  }
  for (const [name] of BIN) {
    if (!name.endsWith('that refuses')) continue;
    assert.equal(heardBinary(name, 'send').kind, 'refused', name);
  }
});

test('every vector has a description, and none is taken for noise by mistake', () => {
  for (const [name, bytes] of BIN) {
    const { name: shown } = binary().describe(bytes);
    assert.ok(/^CMD_/.test(shown) || /unknown|no envelope/.test(name) || /^command/.test(shown), `${name}: ${shown}`);
  }
  for (const [name, texts] of RPC) for (const text of texts) assert.notEqual(jsonRpc().describe(text).name, 'not JSON', name);
});

test('bytes of nobody are noise', () => {
  assert.deepEqual(binary().decode(Uint8Array.of(255, 255, 255), () => undefined), [{ kind: 'noise' }]);
  assert.deepEqual(jsonRpc().decode('[1', () => undefined), [{ kind: 'noise' }]);
  assert.deepEqual(jsonRpc().decode('{"id":1,"result":{}}', () => undefined), [{ kind: 'noise' }]);
});
