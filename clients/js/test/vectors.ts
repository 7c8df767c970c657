// The server's golden vectors (tests/vectors), read from the repository.

import { readFileSync } from 'node:fs';

function sections(file: string): Map<string, string[]> {
  const text = readFileSync(new URL(`../../../../tests/vectors/${file}`, import.meta.url), 'utf8');
  const found = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of text.split('\n')) {
    const name = /^\[(.*)\]$/.exec(line)?.[1];
    if (name !== undefined) found.set(name, (lines = []));
    else if (line.trim() !== '' && !line.startsWith('# ')) lines.push(line);
  }
  return found;
}

/** The bytes of each vector of the binary protocol. */
export function binaryVectors(): Map<string, Uint8Array> {
  const bytesOf = (lines: string[]) =>
    Uint8Array.from(
      lines.flatMap((line) => line.replace(/#.*/, '').trim().split(/\s+/).filter(Boolean)),
      (pair) => Number.parseInt(pair, 16),
    );
  return new Map([...sections('binary.txt')].map(([name, lines]) => [name, bytesOf(lines)]));
}

/** The texts of each vector of JSON-RPC. */
export function jsonRpcVectors(): Map<string, string[]> {
  return sections('jsonrpc.txt');
}
