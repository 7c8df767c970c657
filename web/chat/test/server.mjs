// A real server with the chat page, for tests: the program that CHAT_SERVER names, in a directory of its own.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const BINARY = process.env.CHAT_SERVER;
const BROWSERS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
export const CHROMIUM = BROWSERS.find((path) => path && existsSync(path));

export class DemoServer {
  #directory = mkdtempSync(join(tmpdir(), 'mushan-chat-'));
  #child;
  #address = '127.0.0.1:0';

  get page() {
    return `http://${this.#address}/chat`;
  }

  async start() {
    const data = join(this.#directory, 'data');
    const flags = ['--demo', '--listen', this.#address, '--admin-listen', '127.0.0.1:0', '--shards', '2', '--profile', 'dev'];
    const child = spawn(BINARY, ['serve', '--data-dir', data, ...flags], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    this.#address = await new Promise((resolve, reject) => {
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += String(chunk);
        // The group of the demo is there when its page is announced and a moment has passed; tests wait for it.
        const found = /listening on (\S+:\d+)/.exec(said)?.[1];
        if (found && said.includes('/chat')) resolve(found);
      });
      child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
    });
  }

  async kill() {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async remove() {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
