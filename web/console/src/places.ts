// The pages of the console, in the order of its menu.

import type { FunctionComponent } from 'preact';
import { Audit } from './audit';
import { Configuration } from './configuration';
import { Explorer } from './explorer';
import { Groups } from './groups';
import { AuditIcon, ExplorerIcon, GroupsIcon, OverviewIcon, SessionsIcon, SettingsIcon, StorageIcon, UsersIcon, WebhooksIcon } from './icons';
import { Overview } from './overview';
import { Sessions } from './sessions';
import { Storage } from './storage';
import { Users } from './users';
import { Webhooks } from './webhooks';

export interface Place {
  readonly name: string;
  readonly title: string;
  readonly icon: FunctionComponent;
  /** `rest`: what stands after the place in the address. */
  readonly page: FunctionComponent<{ rest: readonly string[] }>;
}

export const PLACES: readonly Place[] = [
  { name: 'overview', title: 'Overview', icon: OverviewIcon, page: Overview },
  { name: 'sessions', title: 'Sessions', icon: SessionsIcon, page: Sessions },
  { name: 'users', title: 'Users', icon: UsersIcon, page: Users },
  { name: 'groups', title: 'Groups', icon: GroupsIcon, page: Groups },
  { name: 'webhooks', title: 'Webhooks', icon: WebhooksIcon, page: Webhooks },
  { name: 'storage', title: 'Storage', icon: StorageIcon, page: Storage },
  { name: 'configuration', title: 'Configuration', icon: SettingsIcon, page: Configuration },
  { name: 'explorer', title: 'API explorer', icon: ExplorerIcon, page: Explorer },
  { name: 'audit', title: 'Audit trail', icon: AuditIcon, page: Audit },
];
