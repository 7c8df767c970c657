// The overview: is the server well, how much does it do, and how long does it take.

import { useEffect, useState } from 'preact/hooks';
import { Chart, type Line } from './chart';
import { useFeed } from './context';
import * as format from './format';
import type { History, Live, Span } from './live';
import { Badge, Empty, Loading, Panel, Table, type Tone } from './ui';

/** Without numbers for so long a shard does not answer. */
const STUCK_MS = 30_000;

interface Verdict {
  readonly tone: Tone;
  readonly word: string;
  readonly why: string;
}

function verdictOf(live: Live): Verdict {
  const stuck = live.shards.flatMap((shard, at) => (shard.age_ms > STUCK_MS ? [at] : []));
  if (stuck.length > 0) return { tone: 'bad', word: 'Stuck', why: `shard ${stuck.join(', ')} does not respond` };
  if (live.phase === 'starting') return { tone: 'warn', word: 'Starting', why: 'clients are not accepted yet' };
  if (live.phase === 'stopping') return { tone: 'warn', word: 'Stopping', why: 'sessions are asked to go' };
  if (live.storage_full) return { tone: 'bad', word: 'Storage full', why: 'messages are refused; reading goes on' };
  if (live.draining) return { tone: 'warn', word: 'Draining', why: 'nobody new is accepted' };
  const failing = live.webhooks.filter((webhook) => webhook.phase === 'retrying' || webhook.phase === 'gone');
  if (failing.length > 0) return { tone: 'warn', word: 'Serving', why: `webhook ${failing.map((it) => it.name).join(', ')} is not delivered` };
  return { tone: 'good', word: 'Healthy', why: `${live.shards.length} ${live.shards.length === 1 ? 'shard serves' : 'shards serve'}` };
}

function Tile({ name, value, about }: { name: string; value: string; about: string }) {
  return <div class="tile"><dt>{name}</dt><dd class="tile-value">{value}</dd><dd class="tile-about">{about}</dd></div>;
}

function Tiles({ live }: { live: Live }) {
  const { values } = live;
  const users = live.shards.reduce((sum, shard) => sum + shard.users, 0);
  const groups = live.shards.reduce((sum, shard) => sum + shard.groups, 0);
  const places = live.shards.reduce((sum, shard) => sum + shard.connections_max, 0);
  return (
    <dl class="tiles">
      <Tile name="Messages per second" value={format.count(values.messages_per_second)} about={`${format.count(values.pushes_per_second)} pushed`} />
      <Tile name="Sessions" value={format.count(values.sessions)} about={`${format.count(values.connections)} of ${format.count(places)} connections`} />
      <Tile name="Users" value={format.count(users)} about={groups === 1 ? '1 group' : `${format.count(groups)} groups`} />
      <Tile name="Acknowledged, p99" value={format.micros(values.commit_p99_us)} about={`half within ${format.micros(values.commit_p50_us)}`} />
      <Tile name="Memory" value={format.bytes(values.memory_bytes)} about={`${(values.cpu_cores ?? 0).toFixed(2)} cores busy`} />
      <Tile name="Disk free" value={format.bytes(values.disk_free_bytes)} about={`of ${format.bytes(live.disk_bytes)}; logs ${format.bytes(values.log_bytes)}`} />
    </dl>
  );
}

function charts(history: History) {
  const line = (name: string, metric: string): Line => ({ name, points: history.values[metric] ?? [] });
  const turns = history.turns_us.length > 0
    ? history.turns_us.map((points, shard) => ({ name: `shard ${shard}`, points }))
    : [line('longest of all shards', 'turn_p99_us')];
  return [
    { title: 'Messages', about: 'per second', show: format.count, lines: [line('accepted', 'messages_per_second'), line('pushed', 'pushes_per_second'), line('refused', 'refusals_per_second')] },
    { title: 'Acknowledgement', about: 'from a send to its reply, as durable as configured', show: format.micros, lines: [line('p99', 'commit_p99_us'), line('p50', 'commit_p50_us')] },
    { title: 'Delivery', about: 'age of messages when they are pushed', show: format.millis, lines: [line('p99', 'push_p99_ms'), line('p50', 'push_p50_ms')] },
    { title: 'Sync of the log', about: 'duration of one sync', show: format.micros, lines: [line('p99', 'sync_p99_us'), line('p50', 'sync_p50_us')] },
    { title: 'Sync batches', about: 'records that share one sync', show: format.count, lines: [line('records', 'records_per_sync'), line('syncs per second', 'syncs_per_second')] },
    { title: 'Turn length', about: 'p99 of each shard', show: format.micros, lines: turns },
    { title: 'Traffic', about: 'bytes of clients per second', show: format.bytes, lines: [line('received', 'received_bytes_per_second'), line('sent', 'sent_bytes_per_second')] },
    { title: 'Memory', about: 'of the process', show: format.bytes, lines: [line('resident', 'memory_bytes'), line('queued for clients', 'outbox_bytes')] },
    { title: 'Processor', about: 'cores kept busy', show: (value: number | null | undefined) => (value == null ? '–' : value.toFixed(2)), lines: [line('cores', 'cpu_cores')] },
  ];
}

function Shards({ live }: { live: Live }) {
  const head = ['Shard', ['Sessions', 'number'], ['Messages/s', 'number'], ['Turn p50', 'number'], ['Turn p99', 'number'], ['Slow turns/s', 'number'], ['Queued', 'number'], ['Not durable', 'number'], ['Log', 'number'], 'State'] as const;
  return (
    <Panel title="Shards" wide>
      <Table label="Shards" head={head as never}>
        {live.shards.map((shard, at) => (
          <tr key={at}>
            <th scope="row">{at}</th>
            <td class="number">{format.count(shard.sessions)}</td>
            <td class="number">{format.count(shard.messages_per_second)}</td>
            <td class="number">{format.micros(shard.turn_p50_us)}</td>
            <td class="number">{format.micros(shard.turn_p99_us)}</td>
            <td class="number">{format.count(shard.slow_turns_per_second)}</td>
            <td class="number">{format.bytes(shard.outbox_bytes)}</td>
            <td class="number">{format.bytes(shard.durable_lag_bytes)}</td>
            <td class="number">{format.bytes(shard.log_bytes)}</td>
            <td>{shard.age_ms > STUCK_MS ? <Badge tone="bad">stuck</Badge> : shard.log_full ? <Badge tone="bad">full</Badge> : shard.ready ? <Badge tone="good">ready</Badge> : <Badge tone="warn">starting</Badge>}</td>
          </tr>
        ))}
      </Table>
    </Panel>
  );
}

function Followers({ live }: { live: Live }) {
  const tone = (phase: string): Tone => (phase === 'delivering' ? 'good' : phase === 'gone' ? 'bad' : 'warn');
  return (
    <Panel title="Followers" tools={<span class="quiet">{live.event_streams} of {live.event_streams_max} event streams open, the slowest {format.bytes(live.values.stream_lag_bytes)} behind</span>} wide>
      {live.webhooks.length === 0 ? <Empty title="No webhook is configured.">Name receivers of events under <code>[[webhooks]]</code> in the configuration file.</Empty> : (
        <Table label="Webhooks" head={['Webhook', ['Behind', 'number'], ['Dead letters', 'number'], 'State']}>
          {live.webhooks.map((webhook) => (
            <tr key={webhook.name}>
              <th scope="row">{webhook.name}</th>
              <td class="number">{format.millis(webhook.lag_ms)}</td>
              <td class="number">{format.whole(webhook.dead_letters)}</td>
              <td><Badge tone={tone(webhook.phase)}>{webhook.phase}</Badge></td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

export function Overview() {
  const feed = useFeed();
  const [span, setSpan] = useState<Span>('10m');
  useEffect(() => {
    feed.want(span).catch(() => {});
  }, [feed, span]);
  const live = feed.now;
  const history = feed.histories.get(span);
  if (live === undefined) return <Loading what="Waiting for the first numbers" />;
  const verdict = verdictOf(live);
  return (
    <div class={`overview ${feed.link === 'live' ? '' : 'old'}`}>
      <div class={`verdict ${verdict.tone}`}>
        <p class="verdict-word" role="status"><span class="lamp" aria-hidden="true" />{verdict.word}</p>
        <p class="verdict-why">{verdict.why}</p>
        <p class="verdict-facts">up {format.span(live.at - live.started)} · durability {live.durability} · version {live.version}</p>
      </div>
      <Tiles live={live} />
      <div class="section-head">
        <h2>Last {span === '10m' ? 'ten minutes' : 'six hours'}</h2>
        <div class="choice" role="group" aria-label="Length of the charts">
          <button type="button" aria-pressed={span === '10m'} onClick={() => setSpan('10m')}>10 min</button>
          <button type="button" aria-pressed={span === '6h'} onClick={() => setSpan('6h')}>6 h</button>
        </div>
      </div>
      {history === undefined ? <Loading what="Loading the history" /> : (
        <div class="charts">{charts(history).map((chart) => <Chart key={chart.title} at={history.at} {...chart} />)}</div>
      )}
      <Shards live={live} />
      <Followers live={live} />
    </div>
  );
}
