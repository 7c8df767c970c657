// What the tests of the console share: a server, a browser, and the way in.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { CHROMIUM, Windows } from '../../shared/test/browser.mjs';
import { TestServer } from '../../shared/test/server.mjs';

const BINARY = process.env.PAGE_SERVER;

export const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const why = BINARY === undefined ? 'PAGE_SERVER is not set' : CHROMIUM === undefined ? 'there is no Chromium' : false;

/** What a browser itself reports: a server that is gone, and refusals that a test has asked for. */
const EXPECTED = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|status of 40[134]/;

export class ConsoleHome {
  #browser;
  #load;

  /** `flags` of the server, beside those that every test has. */
  constructor(flags = []) {
    this.server = new TestServer(BINARY, flags);
  }

  async start() {
    await this.server.start();
    this.#browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    this.windows = new Windows(this.#browser, (text) => EXPECTED.test(text));
  }

  get page() {
    return `http://${this.server.adminAddress}/console/`;
  }

  /** Messages between many people, for so long or until the end. */
  load(seconds) {
    const flags = ['--rate', '200', '--seconds', String(seconds), '--url', `ws://${this.server.address}`];
    this.#load = spawn(BINARY, ['bench', 'p2p', ...flags, '--data-dir', this.server.dataDir], { stdio: 'ignore' });
  }

  /** A request with the admin token, beside the browser. */
  async api(method, path, body) {
    const headers = { authorization: `Bearer ${this.server.file('admin-token')}` };
    const answer = await fetch(`http://${this.server.adminAddress}${path}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  /** A page, logged in with a token's file. */
  async enter(file = 'admin-token', look = {}) {
    const page = await this.windows.open(this.page, look);
    await logIn(page, this.server.file(file));
    return page;
  }

  async end() {
    this.#load?.kill();
    await this.#browser?.close();
    await this.server.remove();
  }
}

export async function logIn(page, token) {
  await page.getByLabel('Token').fill(token);
  await page.keyboard.press('Enter');
  // In a narrow window the menu is closed.
  await page.locator('nav').waitFor({ state: 'attached' });
}

/** Waits until something is so. */
export async function until(what, isSo, patience = 20_000) {
  const end = Date.now() + patience;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
