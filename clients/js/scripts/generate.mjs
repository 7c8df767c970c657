// Makes src/generated from proto/im.proto; with --check, only says whether it is what the contract makes.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const FILE = 'src/generated/im_pb.ts';
const before = readFileSync(FILE, 'utf8');
const run = spawnSync('npx', ['buf', 'generate'], { stdio: 'inherit' });
if (run.status !== 0) process.exit(run.status ?? 1);
if (process.argv.includes('--check') && readFileSync(FILE, 'utf8') !== before) {
  console.error(`${FILE} is not what proto/im.proto makes; it has been made anew`);
  process.exit(1);
}
