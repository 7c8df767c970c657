// The entry of the console: whoever is logged in sees it, everybody else the way in.

import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { applyTheme, rememberedTheme } from '../../shared/theme';
import { ApiFailure, LOGIN, type Login, show, whenLoggedOut } from './api';
import { App } from './app';
import { LoginPage } from './login';
import { Failed, Loading } from './ui';
import './style.css';

type Entry = { at: 'looking' } | { at: 'inside'; login: Login } | { at: 'outside'; notice?: string } | { at: 'failed'; failure: ApiFailure };

const ENDED = 'The login has ended, or the server was started anew. Log in again.';

function Entrance() {
  const [entry, setEntry] = useState<Entry>({ at: 'looking' });
  const look = () => {
    setEntry({ at: 'looking' });
    show<Login>(LOGIN).then(
      (login) => setEntry(login.role === 'none' ? { at: 'outside' } : { at: 'inside', login }),
      (failure: ApiFailure) => setEntry({ at: 'failed', failure }),
    );
  };
  useEffect(() => {
    whenLoggedOut(() => setEntry((before) => (before.at === 'inside' ? { at: 'outside', notice: ENDED } : before)));
    look();
  }, []);
  switch (entry.at) {
    case 'looking':
      return <main class="login"><Loading what="Connecting" /></main>;
    case 'failed':
      return <main class="login"><div class="login-card"><Failed failure={entry.failure} retry={look} /></div></main>;
    case 'outside':
      return <LoginPage notice={entry.notice} onLogin={(login) => setEntry({ at: 'inside', login })} />;
    case 'inside':
      return <App login={entry.login} onLogout={() => setEntry({ at: 'outside', notice: 'You have logged out.' })} />;
  }
}

applyTheme(rememberedTheme());
render(<Entrance />, document.getElementById('app')!);
