// A page in a real Chromium: alice speaks the binary protocol, as proto/im.proto says, bob JSON-RPC; both over the
// browser's own WebSocket. Driven by `tests/clients/run browser`.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const { MUSHAN_ADDRESS, MUSHAN_CONTRACT, MUSHAN_TOKEN_ALICE, MUSHAN_TOKEN_BOB } = process.env;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage();
  await page.addScriptTag({ path: require.resolve("protobufjs/dist/protobuf.min.js") });
  const told = await page.evaluate(converse, {
    address: MUSHAN_ADDRESS,
    contract: readFileSync(MUSHAN_CONTRACT, "utf8"),
    tokens: { alice: MUSHAN_TOKEN_ALICE, bob: MUSHAN_TOKEN_BOB },
  });
  for (const line of told) console.log("ok ", line);
} finally {
  await browser.close();
}

/** Runs inside the page. */
async function converse({ address, contract, tokens }) {
  const types = protobuf.parse(contract, { keepCase: true }).root;
  const told = [];
  const expect = (holds, what, seen) => {
    if (!holds) throw new Error(`not true: ${what}; seen ${JSON.stringify(seen)}`);
    told.push(what);
  };
  const within = (promise, what) =>
    Promise.race([promise, new Promise((_, fail) => setTimeout(() => fail(new Error(`too late: ${what}`)), 10_000))]);
  const opened = (socket) =>
    new Promise((done, fail) => {
      socket.onopen = () => done(socket);
      socket.onerror = () => fail(new Error("no connection"));
    });

  /** What has come, and who waits for what comes. */
  class Mailbox {
    #items = [];
    #waiting = [];
    put(item) {
      this.#items.push(item);
      this.#waiting.splice(0).forEach((retry) => retry());
    }
    async take(is, what) {
      const find = async () => {
        for (;;) {
          const at = this.#items.findIndex(is);
          if (at >= 0) return this.#items.splice(at, 1)[0];
          await new Promise((retry) => this.#waiting.push(retry));
        }
      };
      return within(find(), what);
    }
  }

  class Binary {
    #sequence = 0;
    mailbox = new Mailbox();
    static async open(user) {
      const socket = new WebSocket(`ws://${address}/ws`);
      socket.binaryType = "arraybuffer";
      const client = new Binary();
      client.socket = await within(opened(socket), "a binary connection");
      const envelope = types.lookupType("im.WebSocketMessage");
      socket.onmessage = ({ data }) => client.mailbox.put(envelope.decode(new Uint8Array(data)));
      const answer = await client.ask(100, "AuthRequest", { user_id: user, token: tokens[user], platform: "web" }, "AuthResponse");
      expect((answer.error_code ?? 0) === 0, "alice logs in, in the binary protocol", answer);
      return client;
    }
    say(command, type, body) {
      const message = types.lookupType(`im.${type}`);
      const envelope = types.lookupType("im.WebSocketMessage");
      const sequence = ++this.#sequence;
      const encoded = message.encode(message.create(body)).finish();
      this.socket.send(envelope.encode(envelope.create({ command, sequence, body: encoded })).finish());
      return sequence;
    }
    async ask(command, type, body, answerType) {
      const sequence = this.say(command, type, body);
      const is = (it) => it.command === command + 1 && Number(it.sequence) === sequence;
      const answer = await this.mailbox.take(is, answerType);
      return types.lookupType(`im.${answerType}`).decode(answer.body);
    }
    async hears() {
      const push = await this.mailbox.take((it) => it.command === 202, "a push");
      return types.lookupType("im.PushMessage").decode(push.body);
    }
  }

  class JsonRpc {
    #id = 0;
    mailbox = new Mailbox();
    static async open(user) {
      const socket = new WebSocket(`ws://${address}/rpc`);
      const client = new JsonRpc();
      client.socket = await within(opened(socket), "a JSON-RPC connection");
      socket.onmessage = ({ data }) => client.mailbox.put(JSON.parse(data));
      const answer = await client.ask("connect", { uid: user, token: tokens[user], deviceId: "page", deviceFlag: 1 });
      expect(answer.result?.reasonCode === 0, "bob logs in, in JSON-RPC", answer);
      return client;
    }
    async ask(method, params) {
      const id = String(++this.#id);
      this.socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
      return this.mailbox.take((it) => it.id === id, method);
    }
    async hears() {
      return (await this.mailbox.take((it) => it.method === "recv", "a notification")).params;
    }
  }

  const alice = await Binary.open("alice");
  const bob = await JsonRpc.open("bob");
  const text = (bytes) => new TextDecoder().decode(bytes);

  const content = new TextEncoder().encode(JSON.stringify({ text: "你好 😀" }));
  const request = { client_msg_id: "page-1", receiver_id: "bob", message_type: 1, content };
  const sent = await alice.ask(200, "SendMessageRequest", request, "SendMessageResponse");
  expect((sent.error_code ?? 0) === 0, "alice's message is accepted", sent);
  const heard = await bob.hears();
  expect(heard.fromUid === "alice" && heard.clientMsgNo === "page-1", "bob hears it", heard);

  const payload = { text: "and back" };
  const answer = await bob.ask("send", { channelId: "alice", channelType: 1, clientMsgNo: "page-2", payload });
  expect(answer.result?.messageId, "bob's message is accepted", answer);
  const pushed = await alice.hears();
  expect(pushed.sender_id === "bob" && pushed.client_msg_id === "page-2", "alice hears it", pushed);
  expect(JSON.parse(text(pushed.content)).text === "and back", "with its content", text(pushed.content));

  const page = await alice.ask(300, "SyncRequest", { max_seq: 0, limit: 10 }, "SyncResponse");
  expect(page.messages?.length === 2, "alice's inbox has both messages", page);

  const refused = await bob.ask("send", { channelId: "nowhere", channelType: 2, clientMsgNo: "page-3", payload });
  expect(refused.error?.code === 1101, "a group that is not there is refused with its code", refused);
  return told;
}
