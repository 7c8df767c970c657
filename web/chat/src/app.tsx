// The page: a bar, two people (or one), and the wire.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { type Theme, applyTheme, rememberedTheme, themeAfter } from '../../shared/theme';
import type { Demo } from './main';
import { ThemeIcon, WireIcon } from './icons';
import { Pane } from './pane';
import { Person } from './person';
import { Wire } from './wire';

type Protocol = 'binary' | 'jsonrpc';

interface Seat {
  readonly user: string;
  readonly protocol: Protocol;
}

/** `?only=alice&protocol=binary` shows one person: two windows, two people. */
function seatsOfAddress(demo: Demo): Seat[] {
  const asked = new URLSearchParams(location.search);
  const known = (user: string | null) => demo.people.find((it) => it.user === user)?.user;
  const only = known(asked.get('only'));
  if (only) return [{ user: only, protocol: asked.get('protocol') === 'binary' ? 'binary' : 'jsonrpc' }];
  return [
    { user: known(asked.get('left')) ?? demo.people[0]!.user, protocol: 'binary' },
    { user: known(asked.get('right')) ?? demo.people[1]!.user, protocol: 'jsonrpc' },
  ];
}

/** A device of its own for each seat of each tab: two tabs do not end each other's sessions. */
function deviceOf(seat: number): string {
  const key = `mushan-device-${seat}`;
  const known = sessionStorage.getItem(key) ?? `page-${Math.random().toString(36).slice(2, 10)}`;
  sessionStorage.setItem(key, known);
  return known;
}

function useSeat(demo: Demo, seat: Seat, at: number): Person {
  const person = useMemo(() => {
    const account = demo.people.find((it) => it.user === seat.user)!;
    const people = demo.people.map((it) => it.user);
    return new Person(account, seat.protocol, people, demo.group, deviceOf(at));
  }, [seat.user, seat.protocol]);
  useEffect(() => () => person.close(), [person]);
  return person;
}

function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(rememberedTheme);
  useEffect(() => applyTheme(theme), [theme]);
  return [theme, () => setTheme(themeAfter(theme))];
}

export function App({ demo }: { demo: Demo }) {
  const [seats, setSeats] = useState(() => seatsOfAddress(demo));
  const [shown, setShown] = useState(0);
  const [isWireOpen, setWireOpen] = useState(true);
  const [theme, changeTheme] = useTheme();
  const change = (at: number, seat: Seat) => setSeats(seats.map((it, index) => (index === at ? seat : it)));
  const isDouble = seats.length > 1;
  return (
    <div class={`page ${isDouble ? 'double' : 'single'} ${isWireOpen ? 'with-wire' : ''}`}>
      <header class="bar">
        <h1>mushan</h1>
        <p class="demo" role="note"><strong>Demo.</strong> Whoever opens this page is logged in without a password. Not for production.</p>
        <div class="bar-tools">
          <button type="button" class="tool" aria-pressed={isWireOpen} onClick={() => setWireOpen(!isWireOpen)}><WireIcon /><span>Wire</span></button>
          <button type="button" class="tool" onClick={changeTheme} aria-label={`Theme: ${theme}`} title={`Theme: ${theme}`}><ThemeIcon /></button>
        </div>
      </header>
      <nav class="tabs" aria-label="Panels">
        {seats.map((seat, at) => (
          <button type="button" key={at} aria-pressed={shown === at} onClick={() => setShown(at)}>{seat.user}</button>
        ))}
        <button type="button" aria-pressed={shown === 2} onClick={() => { setShown(2); setWireOpen(true); }}>Wire</button>
      </nav>
      <Seats demo={demo} seats={seats} shown={shown} isWireOpen={isWireOpen} change={change} />
    </div>
  );
}

interface SeatsProps {
  demo: Demo;
  seats: readonly Seat[];
  shown: number;
  isWireOpen: boolean;
  change: (at: number, seat: Seat) => void;
}

function Seats({ demo, seats, shown, isWireOpen, change }: SeatsProps) {
  const [left, right] = seats;
  return right === undefined ? (
    <OneSeat demo={demo} seat={left!} shown={shown} isWireOpen={isWireOpen} change={change} />
  ) : (
    <TwoSeats demo={demo} seats={[left!, right]} shown={shown} isWireOpen={isWireOpen} change={change} />
  );
}

function OneSeat({ demo, seat, shown, isWireOpen, change }: Omit<SeatsProps, 'seats'> & { seat: Seat }) {
  const person = useSeat(demo, seat, 0);
  return (
    <main class="panels" data-shown={shown}>
      <Pane person={person} demo={demo} taken={[]} change={(next) => change(0, next)} />
      {isWireOpen && <Wire people={[person]} />}
    </main>
  );
}

function TwoSeats({ demo, seats, shown, isWireOpen, change }: SeatsProps & { seats: readonly [Seat, Seat] }) {
  const left = useSeat(demo, seats[0], 0);
  const right = useSeat(demo, seats[1], 1);
  return (
    <main class="panels" data-shown={shown}>
      <Pane person={left} demo={demo} taken={[right.user]} change={(next) => change(0, next)} />
      <Pane person={right} demo={demo} taken={[left.user]} change={(next) => change(1, next)} />
      {isWireOpen && <Wire people={[left, right]} />}
    </main>
  );
}
