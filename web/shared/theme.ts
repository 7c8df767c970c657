// The theme that a person has chosen, remembered by the browser for all pages of this server.

export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'mushan-theme';
const NEXT = { auto: 'dark', dark: 'light', light: 'auto' } as const;

export function rememberedTheme(): Theme {
  const known = localStorage.getItem(KEY);
  return known === 'light' || known === 'dark' ? known : 'auto';
}

export function applyTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(KEY, theme);
}

export function themeAfter(theme: Theme): Theme {
  return NEXT[theme];
}
