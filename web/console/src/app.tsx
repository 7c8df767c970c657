// The frame of the console: where one is, where one can go, and whether the numbers are live.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { type Theme, applyTheme, rememberedTheme, themeAfter } from '../../shared/theme';
import { type Login, ask } from './api';
import { ConsoleContext, type Console, useFeed } from './context';
import { LogoutIcon, MenuIcon, ThemeIcon } from './icons';
import { LiveFeed } from './live';
import { PLACES, type Place } from './places';

/** `#/users/alice`: the place, and what of it. */
export function useRoute(): { place: Place; rest: readonly string[] } {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const change = () => setHash(location.hash);
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  const [name, ...rest] = hash.replace(/^#\/?/, '').split('/').map(decoded);
  return { place: PLACES.find((place) => place.name === name) ?? PLACES[0]!, rest: rest.filter((part) => part !== '') };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(rememberedTheme);
  useEffect(() => applyTheme(theme), [theme]);
  return [theme, () => setTheme(themeAfter(theme))];
}

function Link() {
  const feed = useFeed();
  const said = { connecting: 'Connecting', live: 'Live', lost: 'No connection' }[feed.link];
  return <p class={`link ${feed.link}`} role="status"><span class="lamp" aria-hidden="true" />{said}</p>;
}

interface Notice {
  readonly text: string;
  readonly kind: 'good' | 'bad';
}

const NOTICE_MS = 6_000;

export function App({ login, onLogout }: { login: Login; onLogout: () => void }) {
  const { place, rest } = useRoute();
  const [theme, changeTheme] = useTheme();
  const [isMenuOpen, setMenuOpen] = useState(false);
  const [notice, setNotice] = useState<Notice>();
  const feed = useMemo(() => new LiveFeed(), []);
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    // A browser has few connections to one server: windows that nobody sees leave theirs to others.
    const follow = () => (document.hidden ? feed.stop() : feed.start());
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      feed.stop();
    };
  }, [feed]);
  useEffect(() => {
    document.title = `mushan · ${place.title}`;
    setMenuOpen(false);
    main.current?.scrollTo(0, 0);
  }, [place, rest.join('/')]);
  useEffect(() => {
    if (notice === undefined) return;
    const timer = setTimeout(() => setNotice(undefined), NOTICE_MS);
    return () => clearTimeout(timer);
  }, [notice]);
  const console = useMemo<Console>(() => ({ login, feed, notify: (text, kind = 'good') => setNotice({ text, kind }) }), [login, feed]);
  const logOut = () => ask('POST', '/v1/console/logout').then(onLogout, onLogout);
  return (
    <ConsoleContext.Provider value={console}>
      <div class={`frame ${isMenuOpen ? 'menu-open' : ''}`}>
        <header class="side">
          <div class="side-head">
            <p class="brand">mushan</p>
            <Link />
            <button type="button" class="tool menu" aria-expanded={isMenuOpen} onClick={() => setMenuOpen(!isMenuOpen)}><MenuIcon /><span class="unseen">Menu</span></button>
          </div>
          <nav aria-label="Console">
            {PLACES.map((it) => (
              <a key={it.name} href={`#/${it.name}`} aria-current={it === place ? 'page' : undefined}><it.icon /><span>{it.title}</span></a>
            ))}
          </nav>
          <div class="side-foot">
            <p class="role">{login.role === 'full' ? 'Full access' : 'Read only'}</p>
            <button type="button" class="tool" onClick={changeTheme} aria-label={`Theme: ${theme}`} title={`Theme: ${theme}`}><ThemeIcon /></button>
            <button type="button" class="tool" onClick={logOut} aria-label="Log out" title="Log out"><LogoutIcon /></button>
          </div>
        </header>
        <main ref={main} tabIndex={-1}>
          <div class="content">
            <h1>{place.title}</h1>
            {login.role !== 'full' && <p class="reads-only" role="note">This login reads only: what changes something is left out. Log in with <code>admin-token</code> to act.</p>}
            <place.page rest={rest} />
          </div>
        </main>
        <div class="notices" role="status" aria-live="polite">{notice !== undefined && <p class={`toast ${notice.kind}`}>{notice.text}</p>}</div>
      </div>
    </ConsoleContext.Provider>
  );
}
