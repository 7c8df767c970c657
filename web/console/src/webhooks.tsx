// Webhooks: how far each receiver is behind, why, and what can be sent again.

import { ask, path } from './api';
import { ActionButton, DangerButton } from './act';
import { useAsked } from './ask';
import * as format from './format';
import { Badge, Empty, Facts, Failed, Loading, Panel, type Tone } from './ui';

interface Webhook {
  readonly name: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly state: 'starting' | 'delivering' | 'retrying' | 'gone';
  readonly lag_ms: number;
  readonly failures: number;
  readonly delivered_events: number;
  readonly attempts: Readonly<Record<string, number>>;
  readonly dead_letters: { batches: number; events: number; bytes: number };
  readonly dropped_events: number;
  readonly last_error: { time: number; message: string } | null;
}

const TONES: Readonly<Record<Webhook['state'], Tone>> = { starting: 'quiet', delivering: 'good', retrying: 'warn', gone: 'bad' };

async function replay(name: string): Promise<void> {
  const { left_batches, error } = await ask<{ left_batches: number; error: string | null }>('POST', path`/v1/webhooks/${name}/replay`);
  if (error !== null) throw new Error(`${error}; ${left_batches} batches are left`);
}

async function tryOut(name: string): Promise<void> {
  const { result, status, error } = await ask<{ result: string; status: number | null; error: string | null }>('POST', path`/v1/webhooks/${name}/test`);
  if (result !== 'acknowledged') throw new Error(`The test event was not acknowledged: ${error ?? `status ${status}`}`);
}

export function Webhooks() {
  const { data, failure, reload } = useAsked<{ webhooks: Webhook[] }>('/v1/webhooks');
  if (failure !== undefined) return <Panel title="Webhooks"><Failed failure={failure} retry={reload} /></Panel>;
  if (data === undefined) return <Loading what="Loading" />;
  if (data.webhooks.length === 0) {
    return <Panel title="Webhooks"><Empty title="No webhook is configured.">Name receivers of events under <code>[[webhooks]]</code> in the configuration file.</Empty></Panel>;
  }
  return <>{data.webhooks.map((webhook) => <One key={webhook.name} webhook={webhook} reload={reload} />)}</>;
}

function One({ webhook, reload }: { webhook: Webhook; reload: () => void }) {
  const { name, dead_letters: dead } = webhook;
  const attempts = Object.entries(webhook.attempts).filter(([, count]) => count > 0).map(([result, count]) => `${format.whole(count)} ${result}`);
  const tools = (
    <>
      <Badge tone={TONES[webhook.state]}>{webhook.state}</Badge>
      <button type="button" class="button small" onClick={reload}>Refresh</button>
      <ActionButton key="test" label="Send a test event" act={() => tryOut(name)} done={`${name} has acknowledged the test event.`} then={reload} />
      {dead.batches > 0 && (
        <DangerButton key="replay" label="Send dead letters again" name={name} title={`Send the dead letters of ${name} again?`} act={() => replay(name)} done="The dead letters are sent." then={reload}>
          <p>{format.whole(dead.events)} events are sent once each, the oldest first, until the receiver refuses one.</p>
        </DangerButton>
      )}
    </>
  );
  return (
    <Panel title={name} tools={tools}>
      <Facts facts={[
        ['Receiver', <span class="mono">{webhook.url}</span>],
        ['Behind', format.millis(webhook.lag_ms)],
        ['Delivered events', format.whole(webhook.delivered_events)],
        ['Failures in a row', format.whole(webhook.failures)],
        ['Dead letters', dead.batches === 0 ? 'none' : `${format.whole(dead.events)} events, ${format.bytes(dead.bytes)}`],
        ['Dropped events', format.whole(webhook.dropped_events)],
        ['Requests', attempts.length === 0 ? 'none yet' : attempts.join(', ')],
        ['Events', webhook.events.length === 0 ? 'all' : webhook.events.join(', ')],
      ]} />
      {webhook.last_error !== null && <p class="last-error"><span class="mono">{format.moment(webhook.last_error.time)}</span> {webhook.last_error.message}</p>}
    </Panel>
  );
}
