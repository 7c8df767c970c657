// What operators do with the console, in a real Chromium, against a real server: sessions, users, groups, the rest.
//
// Needs PAGE_SERVER (the server's binary) and Chromium. PAGE_PICTURES names a folder for screenshots.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { expectSound, picture } from '../../shared/test/browser.mjs';
import { AXE, ConsoleHome, logIn, until, why } from './home.mjs';

const PLACES = ['sessions', 'users', 'users/alice', 'users/bob/conversations', 'users/bob/inbox', 'groups', 'groups/team', 'webhooks', 'storage', 'configuration', 'explorer/createGroup', 'audit'];

/** Places of which documents show pictures. */
const PICTURED = { 'users/alice': 'console-user', 'groups/team': 'console-group' };

describe('the console, as operators use it', { skip: why, timeout: 300_000 }, () => {
  const home = new ConsoleHome();
  const clients = [];
  let page;

  /** A client of a user, who is here until it ends. */
  function client(user) {
    const command = ['chat', '--user', user, '--to', 'nobody', '--url', `ws://${home.server.address}`, '--data-dir', home.server.dataDir];
    clients.push(spawn(process.env.PAGE_SERVER, command, { stdio: ['pipe', 'ignore', 'ignore'] }));
  }

  const sessionsOf = async (user) => (await home.api('GET', `/v1/users/${user}/sessions`)).sessions.map((session) => session.id);
  const go = (place) => page.goto(`${home.page}#/${place}`);
  const notice = (text) => page.locator('.toast').getByText(text).waitFor();
  const region = (name) => page.getByRole('region', { name, exact: true });

  /** Answers the question before something dangerous, by typing the name. */
  async function confirm(name, action) {
    const dialog = page.getByRole('dialog');
    const button = dialog.getByRole('button', { name: action, exact: true });
    assert.equal(await button.isDisabled(), true, 'nothing happens before the name is typed');
    await dialog.getByRole('textbox').fill(`${name}x`);
    assert.equal(await button.isDisabled(), true, 'another name does not count');
    await dialog.getByRole('textbox').fill(name);
    await button.click();
    await dialog.waitFor({ state: 'detached' });
  }

  before(async () => {
    await home.start();
    for (const user of ['alice', 'bob', 'carol']) await home.api('PUT', `/v1/users/${user}`);
    const message = { from: 'alice', to: { user: 'bob' }, client_msg_id: 'm1', payload: { type: 1, content: 'where is my parcel?' } };
    await home.api('POST', '/v1/messages', message);
    client('alice');
    page = await home.enter();
  });
  after(async () => {
    clients.forEach((it) => it.kill('SIGKILL'));
    await home.end();
  });

  test('a session is found and kicked', async () => {
    await until('alice is here', async () => (await sessionsOf('alice')).length === 1);
    const [before] = await sessionsOf('alice');
    await go('sessions');
    await page.getByRole('searchbox').fill('lic');
    await page.getByRole('button', { name: 'Search' }).click();
    const row = page.getByRole('row', { name: /alice/ });
    await row.getByText('binary').waitFor();
    await row.getByRole('button', { name: 'Kick alice' }).click();
    await confirm('alice', 'Kick');
    await notice('The session of alice has ended.');
    assert.equal((await sessionsOf('alice')).includes(before), false);
    await page.getByRole('searchbox').fill('xyz');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByText('No session of a user with “xyz” in its id.').waitFor();
    await page.getByRole('searchbox').fill('');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByText('Slow only').click();
    await page.getByText('No session is slow.').waitFor();
  });

  test('a group is made, and its members change', async () => {
    await go('groups');
    await page.getByText('There are no groups yet.').waitFor();
    await page.getByLabel('Id', { exact: true }).fill('team');
    await page.getByLabel('Owner').fill('alice');
    await page.getByLabel('Members, separated').fill('bob');
    await page.getByRole('button', { name: 'Create' }).click();
    await notice('The group team is made.');
    await region('Members').getByRole('link', { name: 'bob' }).waitFor();
    await page.getByLabel('Users to add').fill('carol');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await region('Members').getByRole('link', { name: 'carol' }).waitFor();
    await page.getByLabel('Role of carol').selectOption('admin');
    await notice('carol is admin now.');
    await region('Members').getByRole('button', { name: 'Remove bob' }).click();
    await notice('bob is no member any more.');
    const group = await home.api('GET', '/v1/groups/team');
    assert.deepEqual(group.members.map(({ user, role }) => `${user} ${role}`), ['alice owner', 'carol admin']);
    await go('groups');
    await page.getByRole('row', { name: /team alice 2/ }).waitFor();
  });

  test('a user is disabled and enabled again', async () => {
    await go('users');
    await page.getByRole('link', { name: 'bob' }).click();
    await page.getByRole('button', { name: 'Disable' }).click();
    await confirm('bob', 'Disable');
    await notice('bob is disabled.');
    assert.equal((await home.api('GET', '/v1/users/bob')).disabled, true);
    await page.getByRole('button', { name: 'Enable' }).click();
    await notice('bob is let in again.');
    assert.equal((await home.api('GET', '/v1/users/bob')).disabled, false);
    await page.getByRole('button', { name: 'Revoke tokens' }).click();
    await confirm('bob', 'Revoke tokens');
    await notice('The tokens of bob are revoked.');
    assert.notEqual((await home.api('GET', '/v1/users/bob')).tokens_from, 0);
  });

  test('support reads an inbox, and the look stands in the trail', async () => {
    await go('users/bob/inbox');
    await page.getByText('where is my parcel?').waitFor();
    await page.getByRole('link', { name: 'Conversations' }).click();
    await region('Conversations').getByRole('link', { name: 'alice' }).waitFor();
    await go('audit');
    await page.getByRole('row', { name: /GET \/v1\/users\/bob\/inbox 200 login/ }).first().waitFor();
    await page.getByRole('row', { name: /PUT \/v1\/users\/bob\/disabled 200 login/ }).waitFor();
  });

  test('a user whom nobody knows is told so, and can be added', async () => {
    await go('users');
    await page.getByRole('searchbox').fill('dave/so');
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByText('The server knows nothing of this user.').waitFor();
    await page.getByRole('button', { name: 'Add as known user' }).click();
    await notice('dave/so is known now.');
    await page.getByRole('button', { name: 'Erase' }).click();
    await confirm('dave/so', 'Erase');
    await notice('dave/so is erased.');
  });

  test('storage, configuration and webhooks are shown as they are', async () => {
    await go('storage');
    await page.getByText('00000001.log').first().waitFor();
    await go('configuration');
    await page.getByRole('searchbox').fill('shards');
    await page.getByRole('row', { name: /^shards 2 flag/ }).waitFor();
    await page.getByLabel('error, warn, info').fill('info');
    await page.getByRole('button', { name: 'Change' }).click();
    await notice('The level of the log is info now');
    await go('webhooks');
    await page.getByText('No webhook is configured.').waitFor();
  });

  test('the explorer sends any request of the document', async () => {
    await go('explorer/showUser');
    await page.getByLabel('user', { exact: true }).fill('bob');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByLabel('Answer').getByText('"id": "bob"').waitFor();
    await page.getByRole('searchbox').fill('/v1/groups');
    await page.getByRole('link', { name: /^POST \/v1\/groups$/ }).click();
    await page.getByLabel('Body').fill('{"id":"more","owner":"carol"}');
    await page.getByRole('button', { name: 'Send' }).click();
    await confirm('createGroup', 'Send');
    await page.getByLabel('Answer').getByText('"id": "more"').waitFor();
    assert.equal((await home.api('GET', '/v1/groups/more')).owner, 'carol');
  });

  test('whoever reads only sees everything and changes nothing', async () => {
    const reader = await home.enter('read-token');
    await reader.goto(`${home.page}#/users/bob`);
    await reader.getByText('enabled').waitFor();
    await reader.getByText('This login reads only').waitFor();
    // On every place: the page is whole, and nothing on it changes anything.
    const harmless = /^(Menu|Theme: .*|Log out|Open|Search|Refresh|Show more|Try again|10 min|6 h|Send)$/;
    const places = [...PLACES, 'overview', 'users/bob/sessions', 'users/bob/devices'];
    for (const place of places) {
      await reader.goto(`${home.page}#/${place}`);
      await reader.locator('.content .panel').first().waitFor();
      await until('everything is loaded', async () => (await reader.locator('.loading').count()) === 0);
      const labels = await reader.getByRole('button').evaluateAll((all) => all.map((it) => it.getAttribute('aria-label') ?? it.innerText.trim()));
      assert.deepEqual(labels.filter((label) => !harmless.test(label)), [], place);
      assert.equal(await reader.locator('main select').count(), 0, place);
      await expectSound(reader, AXE, `${place}, read only`);
    }
    await reader.goto(`${home.page}#/explorer/createGroup`);
    await reader.getByText('This request changes something, and this login reads only.').waitFor();
    assert.equal(await reader.getByRole('button', { name: 'Send' }).count(), 0);
    await reader.goto(`${home.page}#/explorer/showUser`);
    await reader.getByRole('button', { name: 'Send' }).waitFor();
    await reader.goto(`${home.page}#/groups/team`);
    await reader.getByRole('cell', { name: 'owner', exact: true }).waitFor();
    await picture(reader, 'console-reader', 1280, 'light');
    const refused = await reader.evaluate(async () => (await fetch('/v1/users/bob/disabled', { method: 'PUT' })).status);
    assert.equal(refused, 403, 'the server refuses what the page does not offer');
    assert.equal((await home.api('GET', '/v1/users/bob')).disabled, false);
    await reader.context().close();
  });

  test('axe finds nothing serious on any page; and these are the pictures', async () => {
    for (const [width, height, scheme] of [[1280, 900, 'light'], [1280, 900, 'dark'], [400, 800, 'light'], [400, 800, 'dark'], [2560, 1300, 'light']]) {
      const shown = await home.windows.open(home.page, { width, height, scheme });
      await logIn(shown, home.server.file('admin-token'));
      for (const place of PLACES) {
        await shown.goto(`${home.page}#/${place}`);
        await shown.locator('.content .panel').first().waitFor();
        await until('everything is loaded', async () => (await shown.locator('.loading').count()) === 0);
        await expectSound(shown, AXE, `${place}, ${width} ${scheme}`);
        if (PICTURED[place] !== undefined) await picture(shown, PICTURED[place], width, scheme);
      }
      await shown.goto(`${home.page}#/users/alice`);
      await shown.getByRole('button', { name: 'Erase' }).click();
      await shown.getByRole('dialog').waitFor();
      await expectSound(shown, AXE, `the question, ${width} ${scheme}`);
      await shown.context().close();
    }
  });

  test('no error on any console, and no request to anybody else', () => {
    assert.deepEqual(home.windows.faults, []);
    const own = home.server.adminAddress;
    assert.deepEqual([...home.windows.hosts].filter((host) => host !== own && host !== 'data:'), []);
  });
});
