// Requests to the HTTP API of the server that the page came from. The browser adds the cookie of the login.

export class ApiFailure extends Error {
  constructor(
    /** 0: there was no answer. */
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Login {
  /** `none`: nobody is logged in. */
  readonly role: 'full' | 'read_only' | 'none';
  readonly label: string;
  readonly expires: number;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** What a request was answered, as text. */
export interface RawAnswer {
  readonly status: number;
  readonly text: string;
  readonly took: number;
}

export const LOGIN = '/v1/console/login';
const NO_ANSWER = 'The server does not answer.';
let onLoggedOut: () => void = () => {};

export const loggedOut = (): void => onLoggedOut();

/** Called whenever the server says that nobody is logged in. */
export function whenLoggedOut(listener: () => void): void {
  onLoggedOut = listener;
}

/** A path with its parts encoded: path`/v1/users/${id}`. */
export function path(parts: TemplateStringsArray, ...ids: readonly (string | number)[]): string {
  return parts.reduce((text, part, at) => text + encodeURIComponent(String(ids[at - 1])) + part);
}

export async function askRaw(method: Method, address: string, body?: string): Promise<RawAnswer> {
  const began = performance.now();
  const init: RequestInit = { method, credentials: 'same-origin', cache: 'no-store', redirect: 'error' };
  if (body !== undefined) Object.assign(init, { body, headers: { 'content-type': 'application/json' } });
  let response: Response;
  let text: string;
  try {
    response = await fetch(address, init);
    text = await response.text();
  } catch {
    throw new ApiFailure(0, 'no_answer', NO_ANSWER);
  }
  // A wrong token at the login ends no login.
  if (response.status === 401 && !(method === 'POST' && address === LOGIN)) onLoggedOut();
  return { status: response.status, text, took: performance.now() - began };
}

export async function ask<T>(method: Method, address: string, body?: unknown): Promise<T> {
  const { status, text } = await askRaw(method, address, body === undefined ? undefined : JSON.stringify(body));
  if (status >= 200 && status < 300) return (text === '' ? {} : JSON.parse(text)) as T;
  let told: { code?: string; message?: string } = {};
  try {
    told = JSON.parse(text) as typeof told;
  } catch {
    // A proxy may answer with something else.
  }
  throw new ApiFailure(status, told.code ?? String(status), told.message ?? `The server answered with status ${status}.`);
}

export const show = <T>(address: string) => ask<T>('GET', address);

/** `?a=1&b=2` of what is there. */
export function query(values: Readonly<Record<string, string | number | undefined>>): string {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}`;
}
