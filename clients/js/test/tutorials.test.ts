// The programs of the tutorials in docs, run as they are printed there. Needs KIT_SERVER.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client, StreamReader, textOf } from '../src/index.js';
import { Application, KIT_ROOT } from './application.js';
import { BINARY, TestServer } from './server.js';

const NAMES = ['answer', 'support', 'bot'];

/** The program that a tutorial prints. */
function printed(name: string): string {
  const text = readFileSync(join(KIT_ROOT, `../../docs/tutorials/${name}.md`), 'utf8');
  const blocks = text.split('```js\n').slice(1);
  assert.equal(blocks.length, 1, 'one program');
  return blocks[0]!.split('```')[0]!;
}

test('the tutorials print the programs of the examples', () => {
  for (const name of NAMES) assert.equal(printed(name), readFileSync(join(KIT_ROOT, `examples/${name}.mjs`), 'utf8'), name);
});

describe('the tutorials', { skip: BINARY === undefined ? 'KIT_SERVER is not set' : false }, () => {
  const server = new TestServer();
  const application = new Application('tutorials');
  const programs: ChildProcess[] = [];
  const clients: Client[] = [];
  before(async () => {
    await server.start();
  });
  after(async () => {
    programs.forEach((program) => program.kill('SIGKILL'));
    clients.forEach((client) => client.close());
    await server.remove();
    application.remove();
  });

  function run(name: string, ...flags: string[]): ChildProcess {
    application.add(`${name}.mjs`, printed(name));
    const program = spawn(process.execPath, [`${name}.mjs`, ...flags], { cwd: application.directory, stdio: ['ignore', 'pipe', 'inherit'] });
    programs.push(program);
    program.stdout!.resume();
    return program;
  }

  async function person(user: string): Promise<Client> {
    const client = new Client({ url: server.url, user, token: server.token(user) });
    clients.push(client);
    await client.connect();
    await client.until('ready');
    return client;
  }

  async function waitFor(what: string, isSo: () => boolean): Promise<void> {
    const end = Date.now() + 20_000;
    while (!isSo()) {
      if (Date.now() > end) throw new Error(`in vain: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  test('an answer of a model grows word by word', async () => {
    const asked: string[] = [];
    const model = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += String(chunk)));
      request.on('end', () => {
        asked.push(JSON.parse(body).messages[0].content);
        const words = ['Forty', '-two', ', of', ' course.'];
        const lines = words.map((content) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`).join('');
        // Cut in the middle of a line, as networks do.
        response.write(lines.slice(0, 30));
        setTimeout(() => response.end(`${lines.slice(30)}data: [DONE]\n\n`), 50);
      });
    });
    await new Promise<void>((resolve) => model.listen(0, '127.0.0.1', resolve));
    const alice = await person('alice');
    const texts: string[] = [];
    const reader = new StreamReader();
    alice.on('message', (message) => {
      const grown = message.from === 'oracle' ? reader.take(message) : undefined;
      if (grown) texts.push(`${grown.text}${grown.isDone ? '|' : ''}`);
    });
    const url = `http://127.0.0.1:${(model.address() as AddressInfo).port}/v1/chat/completions`;
    const program = run('answer', server.url, 'oracle', server.token('oracle'), url);
    let said = '';
    program.stdout!.on('data', (chunk: Buffer) => (said += String(chunk)));
    await waitFor('the program', () => said.startsWith('ready'));
    await alice.sendText({ user: 'oracle' }, 'What is the answer?');
    await waitFor('the answer', () => texts.at(-1) === 'Forty-two, of course.|');
    assert.deepEqual(texts.slice(0, 4), ['Forty', 'Forty-two', 'Forty-two, of', 'Forty-two, of course.']);
    assert.deepEqual(asked, ['What is the answer?']);
    model.closeAllConnections();
    model.close();
  });

  test('a customer gets a ticket, once, also when the desk was down', async () => {
    const [carl, ann] = [await person('carl'), await person('ann')];
    const atAnn: string[] = [];
    ann.on('message', (message) => {
      if ('group' in message.conversation) atAnn.push(`${message.conversation.group} ${message.from} ${textOf(message)}`);
    });
    const start = () =>
      run('support', server.url, `http://${server.adminAddress}`, join(server.dataDir, 'admin-token'), 'desk', server.token('desk'), 'desk.json', 'ann');
    const desk = start();
    await carl.sendText({ user: 'desk' }, 'it does not work');
    await waitFor('the ticket', () => atAnn.length === 1);
    await ann.sendText({ group: 'ticket-carl' }, 'what does it say?');
    const ended = new Promise((resolve) => desk.once('exit', resolve));
    desk.kill('SIGKILL');
    await ended;
    await carl.sendText({ user: 'desk' }, 'nothing at all');
    start();
    await waitFor('the second message', () => atAnn.length === 3);
    assert.deepEqual(atAnn, [
      'ticket-carl desk carl: it does not work',
      'ticket-carl ann what does it say?',
      'ticket-carl desk carl: nothing at all',
    ]);
    const members = (await ann.group('ticket-carl')).members.map((member) => member.user);
    assert.deepEqual(members.sort(), ['ann', 'carl', 'desk']);
  });
});
