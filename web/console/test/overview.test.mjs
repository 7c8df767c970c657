// The console's doors and its overview, in a real Chromium, against a real server under load.
//
// Needs PAGE_SERVER (the server's binary) and Chromium. PAGE_PICTURES names a folder for screenshots.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { expectSound, picture } from '../../shared/test/browser.mjs';
import { AXE, ConsoleHome, logIn, until, why } from './home.mjs';

describe('the console and its overview', { skip: why, timeout: 240_000 }, () => {
  const home = new ConsoleHome();
  let page;

  before(async () => {
    await home.start();
    home.load(60);
  });
  after(() => home.end());

  const tile = async (name) => {
    const term = page.locator('.tile', { has: page.getByText(name, { exact: true }) });
    return (await term.locator('.tile-value').innerText()).trim();
  };

  test('lets nobody in with a wrong token, and says so', async () => {
    page = await home.windows.open(`http://${home.server.adminAddress}/`);
    assert.equal(page.url(), home.page, 'the root leads to the console');
    await page.getByLabel('Token').fill('0'.repeat(64));
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('This is not a token of this server.').waitFor();
    assert.equal(await page.getByRole('navigation').count(), 0);
  });

  test('lets an operator in, and no script can read what keeps the door open', async () => {
    await logIn(page, home.server.file('admin-token'));
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    assert.equal(await page.evaluate(() => document.cookie), '');
    await page.reload();
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
  });

  test('the numbers are live and move under load', async () => {
    await page.getByText('Live', { exact: true }).waitFor();
    await page.getByText('Healthy').waitFor();
    await until('messages are counted', async () => Number((await tile('Messages per second')).replace(',', '')) > 100);
    await until('sessions are counted', async () => Number(await tile('Sessions')) > 10);
    const seen = new Set();
    await until('the numbers move', async () => seen.add(await tile('Messages per second')).size > 2);
    assert.match(await tile('Acknowledged, p99'), /\d (µs|ms|s)$/);
    assert.match(await tile('Memory'), /\d MiB$/);
    assert.equal(await page.getByRole('region', { name: 'Shards' }).getByText('ready').count() >= 2, true);
    await until('the charts are drawn', async () => (await page.locator('.plot canvas').count()) === 9);
  });

  test('the long history is there as well', async () => {
    await page.getByRole('button', { name: '6 h' }).click();
    await page.getByRole('heading', { name: 'Last six hours' }).waitFor();
    await page.getByText('longest of all shards').waitFor();
    await page.getByRole('button', { name: '10 min' }).click();
    await page.getByText('shard 1', { exact: false }).first().waitFor();
  });

  test('a logout ends it, in every window of the login', async () => {
    const other = await page.context().newPage();
    await other.goto(home.page);
    await other.getByText('Live', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByText('You have logged out.').waitFor();
    await other.getByText('The login has ended').waitFor();
    await other.close();
    await page.reload();
    await page.getByLabel('Token').waitFor();
  });

  test('whoever reads only is told so', async () => {
    const reader = await home.enter('read-token');
    await reader.getByText('Read only').waitFor();
    await reader.getByText('Healthy').waitFor();
    await reader.context().close();
  });

  test('works with the keyboard alone', async () => {
    await page.getByLabel('Token').focus();
    await page.keyboard.type(home.server.file('admin-token'));
    await page.keyboard.press('Enter');
    await page.getByText('Healthy').waitFor();
    const six = page.getByRole('button', { name: '6 h' });
    await six.focus();
    await page.keyboard.press('Space');
    await page.getByRole('heading', { name: 'Last six hours' }).waitFor();
    await page.getByRole('button', { name: '10 min' }).click();
  });

  test('axe finds nothing serious, in any theme and size; and these are the pictures', async () => {
    for (const scheme of ['light', 'dark']) {
      for (const [width, height] of [[1280, 900], [400, 800], [2560, 1300]]) {
        const door = await home.windows.open(home.page, { width, height, scheme });
        await door.getByLabel('Token').waitFor();
        await expectSound(door, AXE, `the door, ${width} ${scheme}`);
        await logIn(door, home.server.file('admin-token'));
        await door.getByText('Healthy').waitFor();
        await door.waitForTimeout(500);
        await expectSound(door, AXE, `overview, ${width} ${scheme}`);
        await picture(door, 'console', width, scheme);
        await door.context().close();
      }
    }
  });

  test('kill -9 and back: it says that there is no connection, and lets in again', async () => {
    await page.getByText('Live', { exact: true }).waitFor();
    await home.server.kill();
    await page.getByText('No connection').waitFor();
    await home.server.start();
    await page.getByText('The login has ended, or the server was started anew.').waitFor();
    await logIn(page, home.server.file('admin-token'));
    await page.getByText('Live', { exact: true }).waitFor();
    await page.getByText('Healthy').waitFor();
  });

  test('no error on any console, and no request to anybody else', () => {
    assert.deepEqual(home.windows.faults, []);
    const own = home.server.adminAddress;
    assert.deepEqual([...home.windows.hosts].filter((host) => host !== own && host !== 'data:'), []);
  });
});
