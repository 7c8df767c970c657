// The pages of the console, in the order of its menu.

import type { FunctionComponent } from 'preact';
import { OverviewIcon } from './icons';
import { Overview } from './overview';

export interface Place {
  readonly name: string;
  readonly title: string;
  readonly icon: FunctionComponent;
  /** `rest`: what stands after the place in the address. */
  readonly page: FunctionComponent<{ rest: readonly string[] }>;
}

export const PLACES: readonly Place[] = [
  { name: 'overview', title: 'Overview', icon: OverviewIcon, page: Overview },
];
