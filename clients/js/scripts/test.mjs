// Runs the compiled tests; arguments are parts of the names of test files.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const wanted = process.argv.slice(2);
const isWanted = (name) => wanted.length === 0 || wanted.some((part) => name.includes(part));
const files = readdirSync('build/test').filter((name) => name.endsWith('.test.js') && isWanted(name));
const run = spawnSync(process.execPath, ['--test', ...files.map((name) => `build/test/${name}`)], { stdio: 'inherit' });
process.exit(run.status ?? 1);
