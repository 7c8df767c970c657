// A real server for tests of pages and kits: a program in a directory of its own, which is killed and started again there.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class TestServer {
  #binary;
  #flags;
  #directory = mkdtempSync(join(tmpdir(), 'mushan-page-'));
  #child;
  #address = '127.0.0.1:0';
  #adminAddress = '127.0.0.1:0';

  /** `flags` of `mushan serve` beside those of its directory and its addresses. */
  constructor(binary, flags = []) {
    this.#binary = binary;
    this.#flags = flags;
  }

  /** The address of clients. It stays over restarts. */
  get address() {
    return this.#address;
  }

  /** The address of the HTTP API. It stays over restarts. */
  get adminAddress() {
    return this.#adminAddress;
  }

  get dataDir() {
    return join(this.#directory, 'data');
  }

  async start() {
    const addresses = ['--listen', this.#address, '--admin-listen', this.#adminAddress];
    const flags = ['--data-dir', this.dataDir, ...addresses, '--shards', '2', '--profile', 'dev', ...this.#flags];
    const child = spawn(this.#binary, ['serve', ...flags], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    const said = await new Promise((resolve, reject) => {
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += String(chunk);
        // The greeting is one write, so all of it is there when a part of it is; a demo announces its page after it.
        const isWhole = /listening on \S+:\d+/.test(text) && (!this.#flags.includes('--demo') || text.includes('/chat'));
        if (isWhole) resolve(text);
      });
      child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${text}`)));
    });
    this.#address = /listening on (\S+:\d+)/.exec(said)[1];
    this.#adminAddress = readFileSync(join(this.dataDir, 'admin-url'), 'utf8').trim().replace(/^https?:\/\//, '');
  }

  /** `kill -9`, and the end of the process. */
  async kill() {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  /** The content of a file of the data directory: a token. */
  file(name) {
    return readFileSync(join(this.dataDir, name), 'utf8').trim();
  }

  /** What a subcommand prints for this directory. */
  run(...command) {
    return execFileSync(this.#binary, [...command, '--data-dir', this.dataDir], { encoding: 'utf8' });
  }

  async remove() {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
