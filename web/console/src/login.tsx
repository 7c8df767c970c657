// The way in: the token of an operator becomes a cookie that no script can read.

import { useState } from 'preact/hooks';
import { type ApiFailure, LOGIN, type Login, ask } from './api';
import { LockIcon } from './icons';

export function LoginPage({ notice, onLogin }: { notice: string | undefined; onLogin: (login: Login) => void }) {
  const [token, setToken] = useState('');
  const [failure, setFailure] = useState<ApiFailure>();
  const [isBusy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (isBusy || token.trim() === '') return;
    setBusy(true);
    setFailure(undefined);
    try {
      onLogin(await ask<Login>('POST', LOGIN, { token: token.trim() }));
    } catch (why) {
      setFailure(why as ApiFailure);
      setBusy(false);
    }
  };
  const said = failure?.status === 401 ? 'This is not a token of this server.' : failure?.message;
  return (
    <main class="login">
      <form class="login-card" onSubmit={submit}>
        <p class="brand">mushan</p>
        <h1>Console</h1>
        {notice !== undefined && failure === undefined && <p class="notice" role="status">{notice}</p>}
        <label class="field"><span>Token</span>
          <input type="password" value={token} onInput={(event) => setToken(event.currentTarget.value)} autocomplete="current-password" spellcheck={false} autofocus aria-describedby="token-hint" />
        </label>
        <p id="token-hint" class="hint">
          In the data directory: <code>admin-token</code> may do everything, <code>read-token</code> only reads.
        </p>
        {said !== undefined && <p class="login-failure" role="alert">{said}</p>}
        <button type="submit" class="button primary" disabled={isBusy || token.trim() === ''}><LockIcon />Log in</button>
      </form>
    </main>
  );
}
