// A real Chromium for tests of pages: where it is, and what every page has to be free of.

import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BROWSERS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export const CHROMIUM = BROWSERS.find((path) => path && existsSync(path));
export const PATIENCE_MS = 20_000;

/** Opens pages in windows of their own, and collects their faults and whom they ask. */
export class Windows {
  /** Errors on consoles, and those that nobody caught. */
  faults = [];
  /** Hosts that pages have asked. */
  hosts = new Set();
  #browser;
  #isExpected;

  /** `isExpected` tells an error that a browser itself reports, and that is no fault of the page. */
  constructor(browser, isExpected) {
    this.#browser = browser;
    this.#isExpected = isExpected;
  }

  async open(address, { width = 1280, height = 800, scheme = 'light' } = {}) {
    const context = await this.#browser.newContext({ viewport: { width, height }, colorScheme: scheme });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('console', (message) => {
      if (message.type() === 'error' && !this.#isExpected(message.text())) this.faults.push(message.text());
    });
    page.on('pageerror', (error) => this.faults.push(String(error)));
    page.on('request', (request) => this.hosts.add(new URL(request.url()).host || request.url().slice(0, 5)));
    await page.goto(address);
    return page;
  }
}

/** Fails where axe finds something serious, or the page is wider than its window. */
export async function expectSound(page, axe, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations.filter((it) => it.impact === 'serious' || it.impact === 'critical');
  const told = serious.map((it) => `${it.id}: ${it.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`);
  assert.deepEqual(told, [], what);
  const isWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  assert.equal(isWide, false, `${what}: the page is wider than its window`);
}

const PICTURES = process.env.PAGE_PICTURES;

/** Keeps a picture of what is shown, as WebP, where a folder for pictures is named: in the two widths that documents show. */
export async function picture(page, name, width, scheme) {
  if (!PICTURES || width > 1280) return;
  const shot = (await page.screenshot()).toString('base64');
  // Chromium encodes it, so that nothing else has to be installed.
  const encoder = await (await page.context().browser().newContext()).newPage();
  const url = await encoder.evaluate(async (shot) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${shot}`)).blob());
    const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    return canvas.toDataURL('image/webp', 0.8);
  }, shot);
  await encoder.context().close();
  writeFileSync(join(PICTURES, `${name}-${width}-${scheme}.webp`), Buffer.from(url.split(',')[1], 'base64'));
}
