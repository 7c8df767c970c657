// The bot of the README, run as it is printed there. Needs KIT_SERVER.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client, StreamReader, textOf } from '../src/index.js';
import { Application, KIT_ROOT } from './application.js';
import { BINARY, TestServer } from './server.js';

const BOT_LINES_MAX = 50;

function printedBot(): string {
  const blocks = readFileSync(join(KIT_ROOT, 'README.md'), 'utf8').split('```js\n').slice(1);
  return blocks.map((block) => block.split('```')[0]!).find((block) => block.includes('A bot'))!;
}

test('the README prints the bot of the examples, in fifty lines', () => {
  const printed = printedBot();
  assert.equal(printed, readFileSync(join(KIT_ROOT, 'examples/bot.mjs'), 'utf8'));
  assert.ok(printed.split('\n').length - 1 <= BOT_LINES_MAX);
});

describe('the bot', { skip: BINARY === undefined ? 'KIT_SERVER is not set' : false }, () => {
  const server = new TestServer();
  const application = new Application('bot');
  let bot: ChildProcess | undefined;
  let alice: Client;
  before(async () => {
    await server.start();
    application.add('bot.mjs', printedBot());
    alice = new Client({ url: server.url, user: 'alice', token: server.token('alice') });
  });
  after(async () => {
    alice.close();
    bot?.kill('SIGKILL');
    await server.remove();
    application.remove();
  });

  const startBot = () => {
    const flags = ['bot.mjs', server.url, 'bot', server.token('bot'), 'bot.json'];
    bot = spawn(process.execPath, flags, { cwd: application.directory, stdio: ['ignore', 'ignore', 'inherit'] });
  };

  test('it answers once, also what came while it was down', async () => {
    const got: string[] = [];
    const streamed: string[] = [];
    const reader = new StreamReader();
    alice.on('message', (message) => {
      if (message.from !== 'bot') return;
      const grown = reader.take(message);
      if (grown === undefined) got.push(textOf(message));
      else if (grown.isDone) streamed.push(grown.text);
    });
    await alice.connect();
    await alice.until('ready');
    startBot();
    await alice.sendText({ user: 'bot' }, 'hello');
    await waitFor(() => got.length === 1);
    await alice.sendText({ user: 'bot' }, 'count');
    await waitFor(() => streamed.length === 1);
    const ended = new Promise((resolve) => bot!.once('exit', resolve));
    bot!.kill('SIGKILL');
    await ended;
    await alice.sendText({ user: 'bot' }, 'are you there?');
    startBot();
    await waitFor(() => got.length === 2);
    assert.deepEqual(got, ['You said: hello', 'You said: are you there?']);
    assert.deepEqual(streamed, ['one two three.']);
  });
});

async function waitFor(isSo: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!isSo()) {
    if (Date.now() > end) throw new Error('the bot does not answer');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
