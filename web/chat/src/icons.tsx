// Icons as SVG: decoration, so screen readers pass over them.

import type { ComponentChildren } from 'preact';

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round">
      {children}
    </svg>
  );
}

export const SendIcon = () => <Icon><path d="M3.5 10h12M10.5 5l5 5-5 5" /></Icon>;
export const StreamIcon = () => <Icon><path d="M3 6h14M3 10h9M3 14h5" /><path d="M15.5 12v5M13 14.5h5" /></Icon>;
export const PictureIcon = () => <Icon><rect x="3" y="4" width="14" height="12" rx="2" /><circle cx="7.5" cy="8.5" r="1.3" /><path d="M4 14.5l4-3.5 3 2.5 2.5-2 3 2.5" /></Icon>;
export const RevokeIcon = () => <Icon><path d="M4 8h8a4 4 0 010 8H8M4 8l3.5-3.5M4 8l3.5 3.5" /></Icon>;
export const BackIcon = () => <Icon><path d="M12 4.5L6.5 10l5.5 5.5" /></Icon>;
export const BlockIcon = () => <Icon><circle cx="10" cy="10" r="6.5" /><path d="M5.6 5.6l8.800 8.800" /></Icon>;
export const PlugIcon = () => <Icon><path d="M7 3v4M13 3v4M5 7h10v3a5 5 0 01-10 0zM10 15v3" /></Icon>;
export const WireIcon = () => <Icon><path d="M4 7h11l-3-3M16 13H5l3 3" /></Icon>;
export const ThemeIcon = () => <Icon><circle cx="10" cy="10" r="6.5" /><path d="M10 3.5v13a6.5 6.5 0 000-13z" fill="currentColor" stroke="none" /></Icon>;
export const PeopleIcon = () => <Icon><circle cx="7.5" cy="7.5" r="2.7" /><path d="M2.8 16c.4-2.8 2.2-4.3 4.7-4.3s4.300 1.500 4.700 4.300M13 5.200a2.500 2.500 0 010 4.800M14.500 12c1.700.5 2.600 1.900 2.900 4" /></Icon>;

/** Sent, stored, read: one glyph each, with words for those who do not see it. */
export function Ticks({ delivery }: { delivery: 'queued' | 'stored' | 'read' | 'refused' }) {
  const words = { queued: 'waiting to be sent', stored: 'stored', read: 'read', refused: 'refused' }[delivery];
  return (
    <span class={`ticks ${delivery}`} title={words}>
      <svg viewBox="0 0 22 12" width="22" height="12" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.700" stroke-linecap="round" stroke-linejoin="round">
        {delivery === 'queued' && <><circle cx="11" cy="6" r="4.600" /><path d="M11 3.500V6l1.700 1" /></>}
        {delivery === 'stored' && <path d="M6.500 6.300l3 3 6-6.500" />}
        {delivery === 'read' && <><path d="M2.500 6.300l3 3 6-6.500" /><path d="M9 8.300l1.500 1 6-6.500" /></>}
        {delivery === 'refused' && <path d="M8 3l6 6M14 3L8 9" />}
      </svg>
      <span class="unseen">{words}</span>
    </span>
  );
}
