// A real server for tests: the program that KIT_SERVER names, in a directory of its own.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const BINARY = process.env.KIT_SERVER;

export class TestServer {
  private readonly directory = mkdtempSync(join(tmpdir(), 'mushan-kit-'));
  private child: ChildProcess | undefined;
  private address = '127.0.0.1:0';

  get url(): string {
    return `ws://${this.address}`;
  }

  async start(): Promise<void> {
    const data = join(this.directory, 'data');
    const flags = ['--listen', this.address, '--admin-listen', '127.0.0.1:0', '--shards', '2', '--profile', 'dev'];
    const child = spawn(BINARY!, ['serve', '--data-dir', data, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    this.address = await new Promise<string>((resolve, reject) => {
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => {
        said += String(chunk);
        const found = /listening on (\S+:\d+)/.exec(said)?.[1];
        if (found !== undefined) resolve(found);
      });
      child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
    });
  }

  /** `kill -9`, and the end of the process. */
  async kill(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    this.child = undefined;
  }

  token(user: string): string {
    return this.run('token', '--user', user).trim();
  }

  run(...command: string[]): string {
    return execFileSync(BINARY!, [...command, '--data-dir', join(this.directory, 'data')], { encoding: 'utf8' });
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
