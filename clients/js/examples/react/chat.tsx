// A conversation in React: what was said, answers that grow as they are written, and a line to type in.

import { type FormEvent, useState } from 'react';
import { type ClientOptions, type Target } from 'mushan-client';
import { useClient, useConversation, useStatus } from 'mushan-client/react';

export function Chat({ options, target }: { options: ClientOptions; target: Target }) {
  const client = useClient(options);
  const { phase } = useStatus(client);
  const lines = useConversation(client, target);
  const [text, setText] = useState('');
  const [refusal, setRefusal] = useState('');

  const send = (event: FormEvent) => {
    event.preventDefault();
    // Without a connection it waits in the client, and is sent when there is one.
    client.sendText(target, text).then(
      () => setRefusal(''),
      (refused: Error) => setRefusal(refused.message),
    );
    setText('');
  };

  return (
    <section aria-busy={phase !== 'ready'}>
      <ol>
        {lines.map(({ key, from, text, isRevoked, isGrowing }) => (
          <li key={key}>
            {from}: {isRevoked ? 'taken back' : text}
            {isGrowing ? '…' : ''}
          </li>
        ))}
      </ol>
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
        <button disabled={text === ''}>Send</button>
      </form>
      {refusal !== '' && <p role="alert">{refusal}</p>}
    </section>
  );
}
