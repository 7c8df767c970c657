// A support desk: who writes to it gets a group with the agents, and the first words go there. The group is the ticket; its
// history is the customer's and the agents'. What was handled is in the file: a restart forgets and repeats nothing.
import { readFileSync, writeFileSync } from 'node:fs';
import { Client, savedFromText, savedToText, textOf } from 'mushan-client';

const [url, api, apiTokenFile, user, token, file, ...agents] = process.argv.slice(2);
const apiToken = readFileSync(apiTokenFile, 'utf8').trim();

const store = {
  load() {
    try {
      return savedFromText(readFileSync(file, 'utf8'));
    } catch {
      return undefined; // The first start.
    }
  },
  save: (saved) => writeFileSync(file, savedToText(saved)),
};

const desk = new Client({ url, user, token, store, device: 'desk' });
desk.on('message', (message) => {
  const isForTheDesk = 'user' in message.conversation && message.from !== user && !message.isRevoked;
  if (isForTheDesk) open(message).catch((error) => console.error(error.message));
});

async function open(message) {
  const group = `ticket-${message.from}`;
  // Every request can be repeated: a group that is there stays as it is.
  const made = await ask('POST', '/v1/groups', { id: group, owner: user, members: [message.from, ...agents] });
  if (made.status >= 300 && made.status !== 409) throw new Error(`${group}: ${await made.text()}`);
  // An id that follows from the message: sent twice, it is there once.
  await desk.sendText({ group }, `${message.from}: ${textOf(message)}`, { clientId: `ticket-${message.id}` });
}

function ask(method, path, body) {
  const headers = { authorization: `Bearer ${apiToken}`, 'content-type': 'application/json' };
  return fetch(api + path, { method, headers, body: JSON.stringify(body) });
}

await desk.connect();
process.once('SIGTERM', () => desk.close());
