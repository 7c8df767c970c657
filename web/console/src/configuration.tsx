// The configuration in force, and where each value comes from; and the level of the log, which changes at once.

import { useState } from 'preact/hooks';
import { ask } from './api';
import { useAct } from './act';
import { useAsked } from './ask';
import { useMayWrite } from './context';
import { Badge, Failed, Loading, Panel, Table } from './ui';

interface Setting {
  readonly key: string;
  readonly value: string;
  readonly source: string;
  readonly about: string;
}

export function Configuration() {
  const [wanted, setWanted] = useState('');
  const [isOwn, setOwn] = useState(false);
  const { data, failure, reload } = useAsked<{ settings: Setting[] }>('/v1/config');
  const isProfile = (setting: Setting) => setting.source.startsWith('profile') || setting.source === 'default';
  const words = wanted.trim().toLowerCase();
  const fits = (it: Setting) => (!isOwn || !isProfile(it)) && (it.key.includes(words) || it.about.toLowerCase().includes(words));
  const shown = data?.settings.filter(fits) ?? [];
  return (
    <>
      <LogLevel />
      <div class="bar">
        <input class="search" type="search" placeholder="Part of a name or its meaning" aria-label="Part of a setting's name or its meaning" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
        <label class="check"><input type="checkbox" checked={isOwn} onChange={(event) => setOwn(event.currentTarget.checked)} />Only what the profile does not say</label>
      </div>
      <Panel title="Settings" tools={<span class="quiet">{shown.length} shown</span>}>
        {failure !== undefined ? <Failed failure={failure} retry={reload} /> : data === undefined ? <Loading what="Loading" />
          : shown.length === 0 ? <p class="empty">No setting is like this.</p> : (
            <Table label="Settings" head={['Setting', 'Value', 'Source', 'Meaning']}>
              {shown.map((setting) => (
                <tr key={setting.key}>
                  <th scope="row" class="mono wrap">{setting.key}</th>
                  <td class="mono">{setting.value}</td>
                  <td>{isProfile(setting) ? setting.source : <Badge tone="note">{setting.source}</Badge>}</td>
                  <td class="wrap quiet">{setting.about}</td>
                </tr>
              ))}
            </Table>
          )}
      </Panel>
    </>
  );
}

function LogLevel() {
  const { data, reload } = useAsked<{ level: string }>('/v1/log-level');
  const [typed, setTyped] = useState<string>();
  const act = useAct();
  const mayWrite = useMayWrite();
  const level = typed ?? data?.level ?? '';
  const change = async (event: Event) => {
    event.preventDefault();
    if (await act(() => ask('PUT', '/v1/log-level', { level }), `The level of the log is ${level} now, until the next start.`)) reload();
  };
  return (
    <Panel title="Level of the log">
      {!mayWrite && <p class="panel-body mono">{level}</p>}
      {mayWrite && <form class="form" onSubmit={change}>
        <label class="field"><span>error, warn, info, debug, trace, off, or a filter such as info,mushan::server=debug</span>
          <input value={level} onInput={(event) => setTyped(event.currentTarget.value)} spellcheck={false} autocomplete="off" />
        </label>
        <button type="submit" class="button" disabled={level === '' || level === data?.level}>Change</button>
      </form>}
    </Panel>
  );
}
