// Any order of faults: cuts at each point, lost answers, repetitions, restarts of both sides, other epochs.
//
// KIT_SEEDS is how many seeds run (400), KIT_SEED runs one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chance } from './chance.js';
import { Rig, nameOf } from './rig.js';

const STEPS = 400;

function run(seed: number): void {
  const chance = new Chance(seed);
  const habits = { factsHaveNoSeq: chance.oneIn(2), pushesBacklog: chance.oneIn(2) };
  const restores = chance.oneIn(4);
  const tuning = { pageEntries: 1 + chance.below(5), sendsMax: 1 + chance.below(4), requestMs: 1e9 };
  const rig = new Rig(habits, { random: chance.next, tuning });
  const asked: string[] = [];
  rig.start();
  for (let step = 0; step < STEPS; step += 1) act(rig, chance, asked, restores);
  rig.isUp = true;
  rig.server.refusals = 0;
  rig.settle(120_000);
  check(rig, asked, restores);
}

function act(rig: Rig, chance: Chance, asked: string[], restores: boolean): void {
  const { server } = rig;
  const pick = chance.below(100);
  if (pick < 25) server.serveOne();
  else if (pick < 50) rig.toClient();
  else if (pick < 58) server.post('message');
  else if (pick < 64) server.post(chance.oneIn(2) ? 'revoked' : 'receipt');
  else if (pick < 72) asked.push(rig.say().clientId);
  else if (pick < 80) rig.advance(chance.below(2_000));
  else if (pick < 88) rig.connect();
  else if (pick < 91) rig.cut();
  else if (pick < 92) server.cut();
  else if (pick < 94) server.repeat(1 + chance.below(server.newest + 1));
  else if (pick < 95) rig.isUp = !rig.isUp;
  else if (pick < 96) server.refusals = chance.below(3);
  else if (pick < 97) rig.crash();
  else if (pick < 98) rig.do((session) => session.retryNow(rig.now));
  else if (pick < 99 && restores) {
    const { attempt } = server;
    server.restore(chance.below(5));
    if (attempt > 0) rig.do((session) => session.lost(attempt, 1006, '', rig.now));
  } else if (chance.oneIn(2)) server.hide(1 + chance.below(server.newest + 1));
  else server.forgetIds();
}

function check(rig: Rig, asked: string[], restores: boolean): void {
  const { server, session } = rig;
  assert.equal(session.status, 'ready');
  assert.equal(session.outbox.size, 0, 'a message is still queued');
  const stored = server.inbox.flatMap((entry) => (entry === null ? [] : [nameOf(entry)]));
  const told = rig.told();
  const count = (name: string) => told.filter((it) => it === name).length;
  for (const name of stored) assert.ok(count(name) >= 1, `${name} was lost`);
  assert.deepEqual([...rig.sent].sort(), [...asked].sort(), 'each message is told as sent, once');
  assert.equal(server.acknowledged, server.newest, 'everything is acknowledged');
  if (restores) return;
  // The application's restarts go on from what was saved at once, so nothing is told twice.
  assert.equal(told.length, new Set(told).size, `told twice: ${told.filter((name) => count(name) > 1)}`);
  // What has expired may have been told before.
  const known = new Set(stored);
  assert.deepEqual(told.filter((name) => known.has(name)), stored, 'entries are told in the order of the inbox');
  assert.deepEqual(stored.filter((name) => name.startsWith('c-')).sort(), [...asked].sort(), 'stored once each');
}

test('whatever happens, nothing is lost, doubled or out of order', () => {
  const one = process.env.KIT_SEED;
  const seeds = one ? [Number(one)] : Array.from({ length: Number(process.env.KIT_SEEDS ?? 400) }, (_, at) => at);
  for (const seed of seeds) {
    try {
      run(seed);
    } catch (error) {
      console.error(`KIT_SEED=${seed}`);
      throw error;
    }
  }
});
