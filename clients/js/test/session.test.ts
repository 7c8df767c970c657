// The session, one fault at a time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refused } from '../src/index.js';
import { Rig } from './rig.js';

const phases = (rig: Rig) => rig.events.filter((event) => event.kind === 'status').map((event: any) => event.phase);

function ready(...options: ConstructorParameters<typeof Rig>): Rig {
  const rig = new Rig(...options);
  rig.start();
  rig.settle(1_000);
  assert.equal(rig.session.status, 'ready');
  return rig;
}

test('a login syncs the inbox before it is ready', () => {
  const rig = new Rig();
  for (let entry = 0; entry < 450; entry += 1) rig.server.post('message');
  rig.start();
  rig.settle(1_000);
  assert.deepEqual(phases(rig), ['connecting', 'login', 'resync', 'ready']);
  assert.equal(rig.delivered.length, 450);
  assert.equal(rig.server.acknowledged, 450);
});

test('a client that begins with the newest gets no history', () => {
  const rig = new Rig({ pushesBacklog: true }, { begin: 'newest' });
  rig.server.post('message');
  rig.start();
  rig.settle(1_000);
  assert.deepEqual(rig.told(), []);
  const entry = rig.server.post('message');
  rig.settle(1_000);
  assert.deepEqual(rig.told(), [`p-${entry.id}`]);
});

test('a message whose answer was lost is recognised by the sync, and is not written again', () => {
  const rig = ready();
  const message = rig.say();
  rig.server.serveOne();
  rig.cut();
  rig.settle(5_000);
  assert.deepEqual(rig.server.writtenSends, [message.clientId]);
  assert.deepEqual(rig.sent, [message.clientId]);
  assert.deepEqual(rig.told(), [message.clientId]);
});

test('a message that did not arrive is written again under its id', () => {
  const rig = ready();
  const message = rig.say();
  rig.cut();
  rig.settle(5_000);
  assert.deepEqual(rig.server.writtenSends, [message.clientId]);
  assert.deepEqual([rig.server.newest, rig.sent.length], [1, 1]);
});

test('messages that were queued without a connection are sent in their order', () => {
  const rig = new Rig();
  rig.isUp = false;
  rig.start();
  const asked = [rig.say(), rig.say(), rig.say()].map((message) => message.clientId);
  rig.settle(5_000);
  assert.deepEqual(rig.sent, []);
  rig.isUp = true;
  rig.settle(60_000);
  assert.deepEqual(rig.server.writtenSends, asked);
  assert.deepEqual(rig.told(), asked);
});

test('a restart of the application loses no queued message and repeats no entry', () => {
  const rig = ready();
  rig.server.post('message');
  rig.settle(1_000);
  const message = rig.say();
  rig.server.serveOne();
  rig.crash();
  rig.settle(5_000);
  assert.equal(rig.told().length, 2);
  assert.deepEqual(rig.sent, [message.clientId]);
  assert.deepEqual(rig.server.writtenSends, [message.clientId]);
});

test('an entry that comes too early waits until the gap is read', () => {
  const rig = ready();
  rig.server.post('message');
  rig.server.toClient.shift();
  rig.server.post('message');
  rig.toClient();
  assert.deepEqual(rig.told(), []);
  rig.settle(1_000);
  assert.deepEqual(rig.delivered.map((entry) => entry.seq), [1, 2]);
});

test('entries that have expired leave no gap', () => {
  const rig = ready();
  rig.server.post('message');
  rig.server.hide(1);
  rig.server.toClient = [];
  rig.server.post('message');
  rig.settle(1_000);
  assert.deepEqual(rig.delivered.map((entry) => entry.seq), [2]);
  assert.equal(rig.server.acknowledged, 2);
});

test('a fact without a seq is told in its place, and once', () => {
  const rig = ready({ factsHaveNoSeq: true });
  rig.server.post('receipt');
  rig.toClient();
  rig.server.repeat(1);
  assert.equal(rig.session.deadline() - rig.now, 50);
  rig.settle(1_000);
  assert.equal(rig.delivered.length, 1);
  assert.equal(rig.server.acknowledged, 1);
  rig.server.post('message');
  rig.settle(1_000);
  assert.equal(rig.delivered.length, 2);
});

test('a fact that is pushed while an older page is on its way is asked for', () => {
  const rig = ready({ factsHaveNoSeq: true });
  rig.server.post('receipt');
  rig.toClient();
  rig.advance(50);
  rig.server.serveOne();
  // The page has been read; the next fact overtakes it.
  rig.server.post('revoked');
  rig.server.toClient.push(rig.server.toClient.shift()!);
  rig.toClient();
  rig.advance(60);
  rig.settle(1_000);
  assert.deepEqual(rig.delivered.map((entry) => entry.seq), [1, 2]);
});

test('another epoch reads the inbox again, and tells what was told no second time', () => {
  const rig = ready();
  for (let entry = 0; entry < 5; entry += 1) rig.server.post('message');
  rig.settle(1_000);
  rig.server.restore(2);
  rig.do((session) => session.lost(1, 1006, '', rig.now));
  rig.server.post('message');
  rig.settle(5_000);
  assert.equal(rig.delivered.length, 6);
  assert.equal(new Set(rig.told()).size, 6);
  assert.ok(rig.events.some((event) => event.kind === 'epoch'));
});

test('a server that has less than this client is read again', () => {
  const rig = ready();
  for (let entry = 0; entry < 5; entry += 1) rig.server.post('message');
  rig.settle(1_000);
  rig.server.inbox.length = 3;
  rig.cut();
  rig.server.post('message');
  rig.settle(5_000);
  assert.equal(rig.delivered.length, 6);
});

test('a message that is refused for a while is sent later, one that is refused for good is told', () => {
  const rig = ready();
  rig.server.refusals = 3;
  rig.say();
  rig.settle(20_000);
  assert.equal(rig.sent.length, 1);
  const serve = rig.server.serveOne.bind(rig.server);
  rig.server.serveOne = () => {
    rig.server.toServer.shift();
    rig.server.say({ kind: 'refused', tag: lastTag(rig), refused: new Refused('denied', 1102, 'no') });
  };
  rig.say();
  rig.server.serveOne();
  rig.server.serveOne = serve;
  rig.settle(1_000);
  assert.ok(rig.events.some((event) => event.kind === 'refused'));
  assert.equal(rig.session.outbox.size, 0);
});

/** The tag of the newest request of the session. */
function lastTag(rig: Rig): number {
  const { nextTag } = (rig.session as any).requests;
  return nextTag - 1;
}

test('pauses grow, have jitter, and are short again after a stable connection', () => {
  const rig = new Rig({}, { random: () => 0.5 });
  rig.isUp = false;
  rig.start();
  const pauses: number[] = [];
  for (let attempt = 0; attempt < 8; attempt += 1) {
    rig.connect();
    pauses.push(rig.session.deadline() - rig.now);
    rig.advance(pauses.at(-1)!);
  }
  assert.deepEqual(pauses, [375, 750, 1500, 3000, 6000, 12000, 22500, 22500]);
  rig.isUp = true;
  rig.settle(30_000);
  rig.advance(10_000);
  rig.cut();
  assert.equal(rig.session.deadline() - rig.now, 375);
});

test('a server without room is not asked again within a second', () => {
  const rig = ready();
  rig.cut(1013);
  assert.ok(rig.session.deadline() - rig.now >= 1_000);
});

test('a silent connection is tested, and given up', () => {
  const rig = ready();
  rig.advance(31_000);
  assert.equal(rig.server.toServer.length, 1);
  rig.server.toServer = [];
  rig.advance(10_001);
  assert.equal(rig.session.status, 'waiting');
});

test('a message without an answer tests the connection soon', () => {
  const rig = ready();
  rig.say();
  rig.server.toServer = [];
  rig.advance(5_001);
  assert.equal(rig.server.toServer.length, 1);
  rig.server.toServer = [];
  rig.advance(10_001);
  assert.equal(rig.session.status, 'waiting');
  rig.settle(10_000);
  assert.equal(rig.sent.length, 1);
});

test('a session that was replaced or disabled does not come back', () => {
  for (const code of [4004, 4008]) {
    const rig = ready();
    rig.cut(code);
    assert.equal(rig.session.status, 'ended');
    assert.equal(rig.session.deadline(), Number.POSITIVE_INFINITY);
  }
});

test('a refused token is asked for anew, and not for ever', () => {
  const rig = ready();
  rig.cut(4007);
  rig.advance(rig.session.deadline() - rig.now);
  for (let failure = 0; failure < 2; failure += 1) {
    assert.equal(rig.session.status as string, 'connecting');
    rig.connect();
    rig.cut(4001);
    if (rig.session.status === 'waiting') rig.advance(rig.session.deadline() - rig.now);
  }
  assert.equal(rig.session.status, 'ended');
});

test('a request is asked again after a cut, and fails after its time', () => {
  const rig = ready();
  let id = 0;
  rig.do((session) => (id = session.request({ kind: 'revoke', conversation: { user: 'peer' }, messageId: '1' }, rig.now)));
  rig.cut();
  rig.settle(5_000);
  assert.ok(rig.settled.get(id)?.answer);
  rig.isUp = false;
  rig.cut();
  rig.do((session) => (id = session.request({ kind: 'conversations' }, rig.now)));
  rig.settle(120_000);
  assert.equal(rig.settled.get(id)?.refused?.kind, 'timeout');
});

test('a stop ends everything and keeps what was not sent', () => {
  const rig = ready();
  rig.say();
  let id = 0;
  rig.do((session) => (id = session.request({ kind: 'conversations' }, rig.now)));
  rig.do((session) => session.stop(rig.now));
  assert.equal(rig.settled.get(id)?.refused?.kind, 'stopped');
  assert.equal(rig.session.save().outgoing.length, 1);
});

test('watched users are watched again after a cut', () => {
  const rig = ready();
  rig.do((session) => session.watch(['bob'], rig.now));
  rig.settle(1_000);
  rig.cut();
  const seen: string[] = [];
  const serve = rig.server.serveOne.bind(rig.server);
  rig.server.serveOne = () => {
    seen.push(rig.server.toServer[0]!);
    serve();
  };
  rig.settle(5_000);
  // The login, the sync, and the subscription.
  assert.equal(seen.length >= 3, true);
});
