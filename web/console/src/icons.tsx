// Icons as SVG: decoration, so screen readers pass over them.

import type { ComponentChildren } from 'preact';

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="18" height="18" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">
      {children}
    </svg>
  );
}

export const OverviewIcon = () => <Icon><path d="M3 13.5l4-5 3.500 3 6.500-8" /><path d="M3 17h14" /></Icon>;
export const SessionsIcon = () => <Icon><path d="M7 3v4M13 3v4M5 7h10v3a5 5 0 01-10 0zM10 15v3" /></Icon>;
export const UsersIcon = () => <Icon><circle cx="10" cy="7" r="3.200" /><path d="M3.500 17c.8-3.400 3.200-5 6.500-5s5.700 1.600 6.500 5" /></Icon>;
export const GroupsIcon = () => <Icon><circle cx="7.500" cy="7.500" r="2.700" /><path d="M2.800 16c.4-2.800 2.200-4.300 4.700-4.300s4.300 1.500 4.700 4.300M13 5.200a2.500 2.500 0 010 4.800M14.500 12c1.700.5 2.600 1.900 2.900 4" /></Icon>;
export const WebhooksIcon = () => <Icon><path d="M4 7h11l-3-3M16 13H5l3 3" /></Icon>;
export const StorageIcon = () => <Icon><ellipse cx="10" cy="5" rx="6.500" ry="2.300" /><path d="M3.500 5v5c0 1.300 2.900 2.300 6.500 2.300s6.500-1 6.500-2.300V5M3.500 10v5c0 1.300 2.900 2.300 6.500 2.300s6.500-1 6.500-2.300v-5" /></Icon>;
export const SettingsIcon = () => <Icon><path d="M3 6h8M15 6h2M3 14h2M9 14h8" /><circle cx="13" cy="6" r="2" /><circle cx="7" cy="14" r="2" /></Icon>;
export const ExplorerIcon = () => <Icon><path d="M7 5l-4.500 5L7 15M13 5l4.500 5-4.500 5" /></Icon>;
export const AuditIcon = () => <Icon><path d="M5 3h10v14l-2.500-1.500L10 17l-2.500-1.500L5 17zM8 7h4M8 10.500h4" /></Icon>;
export const ThemeIcon = () => <Icon><circle cx="10" cy="10" r="6.500" /><path d="M10 3.500v13a6.500 6.500 0 000-13z" fill="currentColor" stroke="none" /></Icon>;
export const LogoutIcon = () => <Icon><path d="M11 3H4.500v14H11M9 10h8.500M14.500 6.800L17.700 10l-3.200 3.200" /></Icon>;
export const MenuIcon = () => <Icon><path d="M3 6h14M3 10h14M3 14h14" /></Icon>;
export const LockIcon = () => <Icon><rect x="4.500" y="9" width="11" height="8" rx="1.800" /><path d="M7 9V6.500a3 3 0 016 0V9" /></Icon>;
