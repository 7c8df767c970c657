// Answers questions by a language model, word by word, as the words come: every reader sees the answer grow. The model is
// any service that streams chat completions as server-sent events.
import { Client, textOf } from 'mushan-client';

const [url, user, token, model] = process.argv.slice(2);

const client = new Client({ url, user, token, begin: 'newest', device: 'answer' });
client.on('message', (question) => {
  if (question.from !== user && !question.isRevoked && !question.stream) void answer(question);
});

async function answer({ conversation, content }) {
  client.typing(conversation, true);
  const stream = client.stream(conversation);
  try {
    for await (const words of wordsOf(textOf({ content }))) await stream.write(words);
    await stream.end();
  } catch (error) {
    // A stream that has begun is ended, so that nobody waits for the rest.
    console.error(error.message);
    await stream.end(' (interrupted)').catch(() => {});
  }
}

async function* wordsOf(question) {
  const body = JSON.stringify({ model: 'default', stream: true, messages: [{ role: 'user', content: question }] });
  const response = await fetch(model, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (!response.ok) throw new Error(`the model answers ${response.status}`);
  let rest = '';
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines.filter((line) => line.startsWith('data: {'))) {
      const words = JSON.parse(line.slice(6)).choices[0]?.delta?.content;
      if (words) yield words;
    }
  }
}

await client.connect();
await client.until('ready');
console.log('ready: what is asked from now on is answered');
process.once('SIGTERM', () => client.close());
