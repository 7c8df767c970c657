// A directory as an application has it: the kit below node_modules, with its own dependency.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory of the kit. */
export const KIT_ROOT = fileURLToPath(new URL('../../', import.meta.url));

export class Application {
  readonly directory: string;

  constructor(name: string) {
    this.directory = mkdtempSync(join(tmpdir(), `mushan-${name}-`));
    const kit = join(this.directory, 'node_modules/mushan-client');
    mkdirSync(kit, { recursive: true });
    symlinkSync(join(KIT_ROOT, 'build/src'), join(kit, 'dist'));
    writeFileSync(join(kit, 'package.json'), readFileSync(join(KIT_ROOT, 'package.json'), 'utf8'));
    symlinkSync(join(KIT_ROOT, 'node_modules/ws'), join(this.directory, 'node_modules/ws'));
  }

  /** Writes one of its programs. */
  add(file: string, text: string): void {
    writeFileSync(join(this.directory, file), text);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
