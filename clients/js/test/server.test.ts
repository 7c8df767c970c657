// The kit and a real server: both protocols, kills, and everything exactly once. Needs KIT_SERVER.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client, StreamReader, keyOf, savedFromText, savedToText, textOf, type ClientOptions, type Message, type Store } from '../src/index.js';
import { BINARY, TestServer } from './server.js';

const PATIENCE = 20_000;

function memory(): Store & { text: string } {
  const store = {
    text: '',
    load: () => savedFromText(store.text),
    save: (saved: Parameters<Store['save']>[0]) => {
      store.text = savedToText(saved);
    },
  };
  return store;
}

async function waitFor(what: string, isSo: () => boolean): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!isSo()) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('a real server', { skip: BINARY === undefined ? 'KIT_SERVER is not set' : false }, () => {
  const server = new TestServer();
  const clients: Client[] = [];
  before(() => server.start());
  after(async () => {
    clients.forEach((client) => client.close());
    await server.remove();
  });

  function client(user: string, protocol: 'binary' | 'jsonrpc', more: Partial<ClientOptions> = {}): Client {
    const tuning = { retryFirstMs: 50, retryMaxMs: 400 };
    const token = () => server.token(user);
    const made = new Client({ url: server.url, user, token, protocol, tuning, ...more });
    clients.push(made);
    return made;
  }

  async function pair(one: string, other: string): Promise<[Client, Client, Message[], Message[]]> {
    const [first, second] = [client(one, 'binary'), client(other, 'jsonrpc')];
    const [firstGot, secondGot]: [Message[], Message[]] = [[], []];
    first.on('message', (message) => firstGot.push(message));
    second.on('message', (message) => secondGot.push(message));
    await Promise.all([first.connect(), second.connect()]);
    await Promise.all([first.until('ready'), second.until('ready')]);
    return [first, second, firstGot, secondGot];
  }

  test('two people chat across the protocols', async () => {
    const [alice, bob, atAlice, atBob] = await pair('alice', 'bob');
    const sent = await alice.sendText({ user: 'bob' }, 'hello bob');
    await bob.sendText({ user: 'alice' }, '你好 alice');
    await waitFor('both messages at both', () => atAlice.length === 2 && atBob.length === 2);
    assert.deepEqual(atBob.map(textOf), ['hello bob', '你好 alice']);
    assert.deepEqual(atAlice.map(textOf), ['hello bob', '你好 alice']);
    assert.deepEqual(atBob[0]!.conversation, { user: 'alice' });
    assert.deepEqual(atAlice[0]!.conversation, { user: 'bob' });

    const receipts: unknown[] = [];
    alice.on('receipt', (receipt) => receipts.push(receipt));
    await bob.receipt({ user: 'alice' }, [sent.id]);
    await waitFor('a receipt', () => receipts.length === 1);
    assert.deepEqual((receipts[0] as any).messageIds, [sent.id]);

    const revoked: unknown[] = [];
    alice.on('revoked', (it) => revoked.push(it));
    bob.on('revoked', (it) => revoked.push(it));
    await alice.revoke({ user: 'bob' }, sent.id);
    await waitFor('a revocation at both', () => revoked.length === 2);

    const typing: string[] = [];
    bob.on('typing', (it) => typing.push(`${it.user} ${it.isTyping}`));
    alice.typing({ user: 'bob' }, true);
    await waitFor('typing', () => typing.length === 1);
    assert.deepEqual(typing, ['alice true']);

    const { rows } = await bob.conversations();
    assert.deepEqual(rows[0]!.conversation, { user: 'alice' });
    await bob.markRead({ user: 'alice' }, rows[0]!.newestSeq);
    await alice.markRead({ user: 'bob' }, rows[0]!.newestSeq);
    for (const it of [alice, bob]) {
      const history = await it.history({ user: it === alice ? 'bob' : 'alice' });
      assert.deepEqual(history.messages.map((message) => message.isRevoked), [true, false]);
      assert.equal((await it.conversations()).rows[0]!.unread, 0);
    }
  });

  test('presence is pushed, and streams are read as they grow', async () => {
    const [carol, dave, , atDave] = await pair('carol', 'dave');
    const seen: string[] = [];
    carol.on('presence', (state) => seen.push(`${state.user} ${state.isOnline}`));
    carol.watch(['dave']);
    await waitFor('dave online', () => seen.includes('dave true'));
    for (const author of [carol, dave]) {
      const reader = new StreamReader();
      const texts: string[] = [];
      const target = author === carol ? { user: 'dave' } : { user: 'carol' };
      (author === carol ? dave : carol).on('message', (message) => {
        const grown = message.from === author.user ? reader.take(message) : undefined;
        if (grown) texts.push(`${grown.text}${grown.isDone ? '.' : ''}`);
      });
      const stream = author.stream(target);
      await stream.write('one');
      await stream.write(' two');
      await stream.end(' three');
      await waitFor('the stream', () => texts.length === 3);
      assert.deepEqual(texts, ['one', 'one two', 'one two three.']);
    }
    assert.ok(atDave.length >= 6);
    dave.close();
    await waitFor('dave offline', () => seen.includes('dave false'));
  });

  test('a group, its members and its messages', async () => {
    server.run('group', 'create', 'crew', '--owner', 'erin');
    server.run('group', 'add', 'crew', 'frank');
    const [erin, frank, , atFrank] = await pair('erin', 'frank');
    assert.deepEqual((await erin.group('crew')).members.map((member) => member.user), ['erin', 'frank']);
    await erin.sendText({ group: 'crew' }, 'all hands');
    await waitFor('the message', () => atFrank.length === 1);
    assert.deepEqual(atFrank[0]!.conversation, { group: 'crew' });
    await erin.request({ kind: 'groupProfile', group: 'crew', name: 'The crew' });
    assert.equal((await frank.group('crew')).name, 'The crew');
    await assert.rejects(frank.request({ kind: 'dissolveGroup', group: 'crew' }), { kind: 'denied' });
    await frank.request({ kind: 'leaveGroup', group: 'crew' });
    await assert.rejects(frank.sendText({ group: 'crew' }, 'gone'), { name: 'Refused' });
  });

  test('kills in the middle lose and double nothing', async () => {
    const [gina, hugo, atGina, atHugo] = await pair('gina', 'hugo');
    const sends: Promise<unknown>[] = [];
    const wanted: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      for (let at = 0; at < 60; at += 1) {
        const name = `${round}-${at}`;
        wanted.push(`g ${name}`, `h ${name}`);
        sends.push(gina.sendText({ user: 'hugo' }, `g ${name}`), hugo.sendText({ user: 'gina' }, `h ${name}`));
        if (at % 20 === 10) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await server.kill();
      sends.push(gina.sendText({ user: 'hugo' }, `g offline ${round}`));
      wanted.push(`g offline ${round}`);
      await server.start();
    }
    await Promise.all(sends);
    await waitFor('all messages', () => atGina.length >= wanted.length && atHugo.length >= wanted.length);
    for (const got of [atGina, atHugo]) {
      const texts = got.map(textOf);
      assert.deepEqual([...texts].sort(), [...wanted].sort());
      for (const side of ['g', 'h']) {
        const own = (name: string) => name.startsWith(side);
        assert.deepEqual(texts.filter(own), wanted.filter(own), 'in the order in which they were sent');
      }
    }
    assert.deepEqual(atGina.map((message) => message.id), atHugo.map((message) => message.id), 'one order for both');
  });

  test('a client that starts anew goes on from its store', async () => {
    const store = memory();
    const [ivan] = [client('ivan', 'binary')];
    await ivan.connect();
    await ivan.until('ready');
    const first = client('judy', 'jsonrpc', { store });
    const got: string[] = [];
    first.on('message', (message) => got.push(textOf(message)));
    await first.connect();
    await first.until('ready');
    await ivan.sendText({ user: 'judy' }, 'one');
    await waitFor('one', () => got.length === 1);
    await waitFor('the store', () => savedFromText(store.text)?.through === 1);
    first.close();
    await ivan.sendText({ user: 'judy' }, 'two');
    const second = client('judy', 'jsonrpc', { store });
    second.on('message', (message) => got.push(textOf(message)));
    await second.connect();
    await second.until('ready');
    await waitFor('two', () => got.length === 2);
    assert.deepEqual(got, ['one', 'two']);
  });

  test('a second session of the device ends the first for good', async () => {
    const [first, second] = [client('kim', 'jsonrpc'), client('kim', 'jsonrpc')];
    await first.connect();
    await first.until('ready');
    await second.connect();
    await second.until('ready');
    await waitFor('the end of the first', () => first.status.phase === 'ended');
    assert.match(first.status.reason ?? '', /replaced/);
  });

  test('a conversation is cleared for one user, on all of its devices, and deleted from its list', async () => {
    const [nina, oskar] = [client('nina', 'binary'), client('oskar', 'jsonrpc')];
    const other = client('nina', 'jsonrpc', { device: 'tablet' });
    const cleared: string[] = [];
    for (const it of [nina, other, oskar]) {
      it.on('cleared', ({ conversation, isDeleted, through }) => cleared.push(`${it.user} ${keyOf(conversation)} ${isDeleted} ${through}`));
      it.on('message', ({ from }) => assert.ok(['nina', 'oskar'].includes(from), 'a fact is no message'));
      await it.connect();
      await it.until('ready');
    }
    for (const text of ['one', 'two']) await nina.sendText({ user: 'oskar' }, text);
    await nina.clearHistory({ user: 'oskar' });
    await waitFor('the clearing at both devices', () => cleared.length === 2);
    assert.deepEqual(cleared, Array(2).fill('nina user:oskar false 2'));
    assert.deepEqual((await nina.history({ user: 'oskar' })).messages, []);
    assert.equal((await oskar.history({ user: 'nina' })).messages.length, 2);
    assert.equal((await nina.conversations()).rows.length, 1);
    await other.deleteConversation({ user: 'oskar' });
    await waitFor('the deletion at both devices', () => cleared.length === 4);
    assert.equal((await nina.conversations()).rows.length, 0);
    await oskar.deleteConversation({ user: 'nina' }, 1);
    assert.deepEqual((await oskar.history({ user: 'nina' })).messages.map(textOf), ['two']);
  });

  test('a session goes on with a renewed token, and later logins have it', async () => {
    for (const protocol of ['binary', 'jsonrpc'] as const) {
      const [first, renewed] = [server.token(`paul-${protocol}`, '10m'), server.token(`paul-${protocol}`)];
      const paul = client(`paul-${protocol}`, protocol, { token: first });
      const logins: unknown[] = [];
      paul.on('frame', ({ direction, described: { name, fields } }) => {
        if (direction === 'out' && /^(CMD_AUTH_REQ|connect) /.test(name)) logins.push((fields as { token: string }).token);
      });
      await paul.connect();
      await paul.until('ready');
      await assert.rejects(paul.renew(server.token('liam')), { kind: 'unauthenticated' });
      await paul.renew(renewed);
      await paul.sendText({ user: 'liam' }, 'still here');
      assert.equal(paul.status.attempt, 1, 'in one session');
      await server.kill();
      await server.start();
      await waitFor('another login', () => paul.status.attempt > 1 && paul.status.phase === 'ready');
      assert.deepEqual([logins[0], logins.at(-1)], [first, renewed]);
    }
  });

  test('a wrong token ends the session, and a stale one is asked for anew', async () => {
    const wrong = client('liam', 'binary', { token: 'wrong' });
    await wrong.connect();
    await waitFor('the end', () => wrong.status.phase === 'ended');
    const asked: boolean[] = [];
    const token = (isStale: boolean) => {
      asked.push(isStale);
      return isStale ? server.token('mona') : 'stale';
    };
    const mona = client('mona', 'jsonrpc', { token });
    await mona.connect();
    await mona.until('ready');
    assert.deepEqual(asked, [false, true]);
  });
});
