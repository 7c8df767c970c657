// The chat page in a real Chromium, against a real server: what people do, and what happens to them.
//
// Needs PAGE_SERVER (the server's binary) and Chromium. PAGE_PICTURES names a folder for screenshots.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { CHROMIUM, Windows, expectSound, picture } from '../../shared/test/browser.mjs';
import { TestServer } from '../../shared/test/server.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const BINARY = process.env.PAGE_SERVER;
const why = BINARY === undefined ? 'PAGE_SERVER is not set' : CHROMIUM === undefined ? 'there is no Chromium' : false;

describe('the chat page', { skip: why, timeout: 240_000 }, () => {
  const server = new TestServer(BINARY, ['--demo']);
  let browser;
  let windows;
  let page;
  let alice;
  let bob;

  const address = () => `http://${server.address}/chat`;
  const open = (at = address(), look = {}) => windows.open(at, look);

  function person(of, name) {
    const pane = of.getByRole('region', { name: `${name}'s messages` });
    const field = pane.getByRole('textbox', { name: /^Message / });
    return {
      pane,
      field,
      log: pane.getByRole('log'),
      say: async (text) => {
        await field.fill(text);
        await field.press('Enter');
      },
      hears: (text) => pane.getByRole('log').getByText(text, { exact: true }).waitFor(),
      is: (words) => pane.getByRole('status').getByText(words).waitFor(),
      opens: (name) => pane.getByRole('navigation').getByRole('button', { name }).click(),
    };
  }

  before(async () => {
    await server.start();
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    // What a browser itself says of a server that is gone is no fault of the page.
    windows = new Windows(browser, (text) => /WebSocket connection to .* failed/.test(text));
    page = await open();
    alice = person(page, 'alice');
    bob = person(page, 'bob');
    await alice.is('Connected');
    await bob.is('Connected');
  });

  after(async () => {
    await browser?.close();
    await server.remove();
  });

  test('says loudly that it is a demo', async () => {
    assert.match(await page.getByRole('note').innerText(), /Demo.*without a password/);
  });

  test('two people talk across the protocols, and see what became of their messages', async () => {
    await alice.say('hello in Protocol Buffers');
    await bob.hears('hello in Protocol Buffers');
    await bob.say('你好 in JSON-RPC');
    await alice.hears('你好 in JSON-RPC');
    await alice.log.getByText('read', { exact: true }).first().waitFor();
    await alice.pane.getByText('online', { exact: true }).waitFor();
  });

  test('shows who is typing, and streams that grow', async () => {
    // Typing is told once in a while, so a person has to type for a while.
    await bob.field.pressSequentially('one two three', { delay: 200 });
    await alice.pane.getByText('typing…').first().waitFor();
    await bob.pane.getByRole('button', { name: 'Stream word by word' }).click();
    await alice.hears('one two three');
    await bob.hears('one two three');
    assert.equal(await alice.log.locator('.bubble').filter({ hasText: 'one two three' }).count(), 1);
  });

  test('shows pictures', async () => {
    const buffer = await page.screenshot();
    await alice.pane.getByLabel('Picture file').setInputFiles({ name: 'p.png', mimeType: 'image/png', buffer });
    await bob.log.getByRole('img').waitFor();
    await alice.pane.getByLabel('Picture file').setInputFiles({ name: 'p.txt', mimeType: 'text/plain', buffer: Buffer.from('no') });
    await alice.pane.getByText('This file is not a picture.').waitFor();
  });

  test('a revoked message is gone for both', async () => {
    await alice.say('a slip of the tongue');
    await bob.hears('a slip of the tongue');
    await alice.pane.getByRole('button', { name: 'Revoke: a slip of the tongue' }).click();
    await alice.hears('You revoked this message');
    await bob.hears('This message was revoked');
    assert.equal(await page.getByRole('log').getByText('a slip of the tongue').count(), 0);
  });

  test('a group has members, messages and counts of unread ones', async () => {
    await bob.opens(/^team/);
    await bob.say('all hands');
    await alice.pane.getByRole('navigation').getByText('1 unread').waitFor();
    await alice.opens(/^team/);
    await alice.hears('all hands');
    assert.equal(await alice.pane.getByText('unread').count(), 0);
    await alice.pane.getByRole('button', { name: 'Members' }).click();
    await alice.pane.getByRole('list', { name: 'Members' }).getByText('dave').waitFor();
    await alice.opens(/^bob/);
    await bob.opens(/^alice/);
    await page.getByRole('button', { name: /MARK_READ_REQ.*group:team/ }).first().waitFor();
    const late = await open(`${address()}?only=alice`);
    await person(late, 'alice').hears('hello in Protocol Buffers');
    await late.waitForTimeout(500);
    assert.equal(await person(late, 'alice').pane.getByText('unread').count(), 0, 'what was read stays read');
    await person(late, 'alice').opens(/^team/);
    await person(late, 'alice').hears('alice created the group');
    await late.context().close();
  });

  test('every frame is on the wire, decoded, and no token is', async () => {
    const wire = page.getByRole('region', { name: 'The wire' });
    await wire.getByRole('combobox').selectOption('alice');
    await wire.getByRole('button', { name: /SEND_MSG_REQ/ }).first().click();
    assert.match(await wire.getByLabel('Decoded').first().innerText(), /"receiverId": "bob"/);
    assert.match(await wire.getByLabel('Bytes').first().innerText(), /^08 c8 01/);
    await wire.getByRole('combobox').selectOption('');
    await wire.getByRole('button', { name: /recv/ }).first().waitFor();
    const token = /eyJ[\w-]+\.eyJ/;
    assert.doesNotMatch(await wire.innerText(), token);
  });

  test('offline on purpose: what is written waits, and goes out', async () => {
    await alice.pane.getByRole('button', { name: 'Go offline' }).click();
    await alice.is('Offline on purpose');
    await bob.pane.getByText(/last seen|offline/).first().waitFor();
    await alice.say('written offline');
    await alice.log.getByText('waiting to be sent').waitFor();
    await bob.say('sent meanwhile');
    await alice.pane.getByRole('button', { name: 'Connect again' }).click();
    await alice.is('Connected');
    await alice.hears('sent meanwhile');
    await bob.hears('written offline');
  });

  test('kill -9 and back: both say so, and nothing is lost or doubled', async () => {
    await server.kill();
    await alice.is(/No connection|Reconnecting/);
    await bob.is(/No connection|Reconnecting/);
    await alice.say('into the dark');
    await bob.say('me too');
    await server.start();
    await alice.is('Connected');
    await bob.is('Connected');
    for (const text of ['into the dark', 'me too', 'written offline', 'hello in Protocol Buffers']) {
      await alice.hears(text);
      await bob.hears(text);
      for (const it of [alice, bob]) assert.equal(await it.log.getByText(text, { exact: true }).count(), 1, text);
    }
    assert.equal(await page.getByText('waiting to be sent').count(), 0);
  });

  test('history is read back as one scrolls', async () => {
    for (let at = 0; at < 50; at += 1) await alice.say(`line ${at}`);
    await bob.hears('line 49');
    const other = await open();
    const late = person(other, 'bob');
    await late.hears('line 49');
    assert.equal(await late.log.getByText('hello in Protocol Buffers').count(), 0);
    await late.log.evaluate((box) => box.scrollTo(0, 0));
    await late.hears('line 1');
    await late.log.evaluate((box) => box.scrollTo(0, 0));
    await late.hears('hello in Protocol Buffers');
    await late.hears('This message was revoked');
    await other.context().close();
  });

  test('one person a window', async () => {
    const other = await open(`${address()}?only=carol&protocol=binary`);
    const carol = person(other, 'carol');
    await carol.is('Connected');
    await carol.opens(/^alice/);
    await carol.say('from another window');
    await alice.pane.getByText('from another window').first().waitFor();
    await other.context().close();
  });

  test('works with the keyboard alone', async () => {
    await alice.field.focus();
    await page.keyboard.type('typed');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('in two lines');
    await page.keyboard.press('Enter');
    await bob.log.getByText('typed\nin two lines').waitFor();
    await page.keyboard.press('Tab');
    assert.match(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), /Stream/);
  });

  test('a group that the operator makes is renamed, opened, filled and left by its members', async () => {
    await alice.pane.getByRole('button', { name: 'Join or make a group' }).click();
    await alice.pane.getByLabel('Id of the new group').fill('crew');
    const command = await alice.pane.getByRole('region', { name: 'Make a group' }).locator('code').innerText();
    assert.equal(command, 'mushan group create crew --owner alice');
    server.run(...command.split(' ').slice(1));
    await alice.opens(/^crew/);
    await alice.hears('alice created the group');
    await alice.pane.getByRole('button', { name: 'Members' }).click();
    const crew = alice.pane.getByRole('region', { name: 'The group crew' });
    await crew.getByLabel('Name of the group').fill('The crew');
    await crew.getByRole('button', { name: 'Rename' }).click();
    await alice.hears("alice changed the group's profile: The crew");
    await crew.getByLabel('User to add').fill('carol');
    await crew.getByRole('button', { name: 'Add' }).click();
    await alice.hears('alice added carol');
    await crew.getByLabel('User to add').fill('x'.repeat(65));
    await crew.getByRole('button', { name: 'Add' }).click();
    assert.match(await crew.getByRole('alert').innerText(), /^\d+: ./, 'the server says its code and why');

    await bob.pane.getByRole('button', { name: 'Join or make a group' }).click();
    const join = async (group) => {
      await bob.pane.getByLabel('Id of the group').fill(group);
      await bob.pane.getByRole('button', { name: 'Join', exact: true }).click();
    };
    await join('nowhere');
    await bob.pane.getByText('1101: conversation does not exist').waitFor();
    await join('crew');
    await bob.pane.getByText('1102: permission denied').waitFor();
    await crew.getByLabel('Who joins').selectOption('open');
    await crew.getByText('crew is joined by everybody now.').waitFor();
    await join('crew');
    await bob.hears('bob joined');
    await bob.say('aye');
    await alice.hears('aye');
    await bob.pane.getByRole('button', { name: 'Members' }).click();
    const his = bob.pane.getByRole('region', { name: 'The group crew' });
    assert.equal(await his.getByLabel('Who joins').count(), 0, 'a member is offered nothing that only the owner may');
    await his.getByRole('button', { name: 'Leave' }).click();
    await his.getByRole('button', { name: 'Leave crew now' }).click();
    await alice.hears('bob left');
    await bob.say('one more thing');
    await bob.log.getByText('1102: permission denied').waitFor();
  });

  test('who asks to join is seen, declined and let in', async () => {
    const crew = alice.pane.getByRole('region', { name: 'The group crew' });
    await crew.getByLabel('Who joins').selectOption('request');
    await crew.getByText('crew is joined on request now.').waitFor();
    const his = bob.pane.getByRole('region', { name: 'The group crew' });
    for (const [answer, note] of [['Decline bob', 'Your request to join was declined'], ['Let bob in', 'alice added bob']]) {
      await his.getByRole('button', { name: 'Join, or ask to join' }).click();
      await bob.log.getByText('You have asked to join').last().waitFor();
      await crew.getByRole('list', { name: 'Requests to join' }).getByText('bob asks to join').waitFor();
      await crew.getByRole('button', { name: answer }).click();
      await bob.hears(note);
    }
    await crew.getByText('Nobody waits to be let in.').waitFor();
    await his.getByRole('list', { name: 'Members' }).getByText('carol').waitFor();
    await crew.getByLabel('Role of bob').selectOption('admin');
    await crew.getByText('bob is admin now.').waitFor();
    await his.getByLabel('Name of the group').waitFor();
    await crew.getByRole('button', { name: 'Remove carol' }).click();
    await bob.hears('alice removed carol');
    await crew.getByRole('button', { name: 'Dissolve' }).click();
    await crew.getByRole('button', { name: 'Dissolve crew now' }).click();
    await bob.hears('alice dissolved the group');
    await alice.opens(/^bob/);
    await bob.opens(/^alice/);
  });

  test('whom the operator blocks is told so, and let in again', async () => {
    await alice.pane.getByRole('button', { name: 'Block', exact: true }).click();
    const panel = alice.pane.getByRole('region', { name: 'Blocking bob' });
    const [block, unblock] = await panel.locator('code').allInnerTexts();
    assert.equal(block, 'mushan user block alice bob');
    server.run(...block.split(' ').slice(1));
    await bob.say('are you there?');
    await bob.log.getByText('1102: permission denied').waitFor();
    await bob.pane.getByRole('button', { name: 'Block', exact: true }).click();
    const his = bob.pane.getByRole('region', { name: 'Blocking alice' });
    await his.getByRole('button', { name: 'Has alice blocked bob?' }).click();
    await his.getByText('1102: permission denied. alice has blocked bob.').waitFor();
    server.run(...unblock.split(' ').slice(1));
    await his.getByRole('button', { name: 'Has alice blocked bob?' }).click();
    await his.getByText('alice has not blocked bob.').waitFor();
    await bob.say('and now?');
    await alice.hears('and now?');
    for (const it of [alice, bob]) await it.pane.getByRole('button', { name: 'Block', exact: true }).click();
  });

  test('axe finds nothing serious, in any theme and size; and these are the pictures', async () => {
    for (const scheme of ['light', 'dark']) {
      for (const [width, height] of [[1280, 800], [400, 800], [2560, 1300]]) {
        const shown = await open(address(), { width, height, scheme });
        await person(shown, 'alice').is('Connected');
        await shown.waitForTimeout(300);
        await expectSound(shown, AXE, `${width} ${scheme}`);
        await picture(shown, 'chat', width, scheme);
        const one = person(shown, 'alice');
        const isNarrow = await one.pane.getByRole('button', { name: 'All conversations' }).isVisible();
        for (const [place, about] of [[/^team/, 'Members'], [/^bob/, 'Block']]) {
          if (isNarrow) await one.pane.getByRole('button', { name: 'All conversations' }).click();
          await one.opens(place);
          await one.pane.getByRole('button', { name: about, exact: true }).click();
          await one.pane.getByRole('region', { name: /^(The group|Blocking)/ }).getByRole('button').first().waitFor();
          await expectSound(shown, AXE, `${about}, ${width} ${scheme}`);
          if (about === 'Members') await picture(shown, 'chat-group', width, scheme);
        }
        if (isNarrow) await one.pane.getByRole('button', { name: 'All conversations' }).click();
        await one.pane.getByRole('button', { name: 'Join or make a group' }).click();
        await expectSound(shown, AXE, `joining, ${width} ${scheme}`);
        await picture(shown, 'chat-joining', width, scheme);
        await shown.context().close();
      }
    }
  });

  test('no error on any console, and no request to anybody else', () => {
    assert.deepEqual(windows.faults, []);
    assert.deepEqual([...windows.hosts].filter((host) => host !== server.address && host !== 'data:'), []);
  });
});
