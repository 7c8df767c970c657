// A bot that answers every message, in groups too, and streams an answer to "count". It loses and repeats nothing: what
// it has answered is in its file, and a message that comes while it is down is answered when it is up again.
import { readFileSync, writeFileSync } from 'node:fs';
import { Client, savedFromText, savedToText, textOf } from 'mushan-client';

const [url, user, token, file = `${user}.json`] = process.argv.slice(2);

const store = {
  load() {
    try {
      return savedFromText(readFileSync(file, 'utf8'));
    } catch {
      return undefined; // The first start.
    }
  },
  save(saved) {
    writeFileSync(file, savedToText(saved));
  },
};

const bot = new Client({ url, user, token, store, protocol: 'binary', device: 'bot' });

bot.on('status', ({ phase, reason }) => console.log(phase, reason ?? ''));
bot.on('message', (message) => {
  if (message.from === user || message.isRevoked || message.stream) return;
  const text = textOf(message);
  console.log(`${message.from}: ${text}`);
  // An id that follows from the question: asked twice, it is still one answer.
  const clientId = `answer-${message.id}`;
  if (text === 'count') void count(message.conversation);
  else bot.sendText(message.conversation, `You said: ${text}`, { clientId }).catch(report);
});

async function count(conversation) {
  bot.typing(conversation, true);
  const stream = bot.stream(conversation);
  for (const word of ['one', ' two', ' three']) await stream.write(word);
  await stream.end('.');
}

function report(refused) {
  console.error(`not sent: ${refused.message}`);
}

await bot.connect();
process.once('SIGTERM', () => bot.close());
