// The webhooks' page against a receiver that refuses, and takes what it is sent again.
//
// Needs PAGE_SERVER (the server's binary) and Chromium.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ConsoleHome, until, why } from './home.mjs';

describe("the webhooks' page", { skip: why, timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'mushan-webhook-'));
  const heard = [];
  let status = 500;
  const receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      if (status === 200) heard.push(body);
      response.writeHead(status).end();
    });
  });
  let home;
  let page;

  before(async () => {
    await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const secret = join(folder, 'secret');
    writeFileSync(secret, `whsec_${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 });
    const config = join(folder, 'mushan.toml');
    const url = `http://127.0.0.1:${receiver.address().port}/`;
    writeFileSync(config, `[[webhooks]]\nname = "orders"\nurl = "${url}"\nsecret_file = "${secret}"\nage_max_ms = 0\n`);
    home = new ConsoleHome(['--config', config]);
    await home.start();
    page = await home.enter();
  });
  after(async () => {
    receiver.close();
    await home?.end();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a receiver that refuses is seen, and gets the dead letters when it takes them', async () => {
    const message = { from: 'alice', to: { user: 'bob' }, client_msg_id: 'm1', payload: { type: 1, content: 'an order' } };
    await home.api('POST', '/v1/messages', message);
    await until('it is a dead letter', async () => (await home.api('GET', '/v1/webhooks')).webhooks[0].dead_letters.batches > 0);
    await page.goto(`${home.page}#/webhooks`);
    const orders = page.getByRole('region', { name: 'orders' });
    await orders.getByText(/events, .* B$/).waitFor();
    await orders.getByText('500', { exact: false }).first().waitFor();
    await orders.getByRole('button', { name: 'Send a test event' }).click();
    await page.locator('.toast').getByText('The test event was not acknowledged').waitFor();
    status = 200;
    await orders.getByRole('button', { name: 'Send dead letters again' }).click();
    await page.getByRole('dialog').getByRole('textbox').fill('orders');
    await page.getByRole('dialog').getByRole('button', { name: 'Send dead letters again' }).click();
    await orders.getByText('none', { exact: true }).waitFor();
    assert.equal(heard.some((body) => body.includes('an order')), true);
    await orders.getByRole('button', { name: 'Send a test event' }).click();
    await page.locator('.toast').getByText('orders has acknowledged the test event.').waitFor();
    assert.deepEqual(home.windows.faults, []);
  });
});
