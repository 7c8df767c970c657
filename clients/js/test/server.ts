// A real server for tests: the program that KIT_SERVER names, in a directory of its own; the one of the pages' tests.

export const BINARY = process.env.KIT_SERVER;

/** `web/shared/test/server.mjs`, which is no TypeScript. */
interface Shared {
  readonly address: string;
  readonly adminAddress: string;
  readonly dataDir: string;
  start(): Promise<void>;
  kill(): Promise<void>;
  run(...command: string[]): string;
  remove(): Promise<void>;
}

// From build/test, where this is compiled to.
const file = new URL('../../../../web/shared/test/server.mjs', import.meta.url).href;
const { TestServer: SharedServer } = (await import(file)) as { TestServer: new (binary: string) => Shared };

export class TestServer extends SharedServer {
  constructor() {
    super(BINARY!);
  }

  get url(): string {
    return `ws://${this.address}`;
  }

  token(user: string, ttl = '1h'): string {
    return this.run('token', '--user', user, '--ttl', ttl).trim();
  }
}
