// The explorer: every request of the API, from its own document, tried out with the login of the console.

import { useState } from 'preact/hooks';
import { type ApiFailure, type RawAnswer, askRaw } from './api';
import { useAsked } from './ask';
import { useMayWrite } from './context';
import { Badge, Confirm, Failed, Loading, Panel } from './ui';

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: { readonly enum?: readonly string[]; readonly default?: unknown };
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { content: { 'application/json'?: { schema: Schema } } };
  readonly responses: Readonly<Record<string, { content?: Record<string, unknown> }>>;
}

interface Schema {
  readonly $ref?: string;
  readonly example?: unknown;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

interface Request {
  readonly method: Method;
  readonly path: string;
  readonly operation: Operation;
}

/** Answers without an end are no answers to show here; a login has a page of its own. */
function isShown({ path, operation }: Request): boolean {
  const answers = Object.values(operation.responses).flatMap((answer) => Object.keys(answer.content ?? {}));
  return !path.startsWith('/v1/console/') && !answers.includes('text/event-stream') && !answers.includes('application/x-ndjson');
}

function requestsOf(document: Document): Request[] {
  const all = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase() as Method, path, operation })));
  return all.filter(isShown).sort((one, other) => one.path.localeCompare(other.path) || one.method.localeCompare(other.method));
}

const nameOf = (request: Request) => `${request.method} ${request.path}`;

export function Explorer({ rest }: { rest: readonly string[] }) {
  const { data, failure, reload } = useAsked<Document>('/v1/openapi.json');
  const [wanted, setWanted] = useState('');
  if (failure !== undefined) return <Panel title="Requests"><Failed failure={failure} retry={reload} /></Panel>;
  if (data === undefined) return <Loading what="Loading the document of the API" />;
  const requests = requestsOf(data);
  const chosen = requests.find((request) => request.operation.operationId === rest[0]) ?? requests.find((it) => it.operation.operationId === 'showStats')!;
  const words = wanted.trim().toLowerCase();
  const shown = requests.filter((it) => `${nameOf(it)} ${it.operation.summary}`.toLowerCase().includes(words));
  return (
    <div class="explorer">
      <Panel title="Requests">
        <div class="panel-body"><input class="search" type="search" placeholder="Part of a path" aria-label="Part of a path or its meaning" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} /></div>
        <ul class="requests" aria-label="Requests of the API">
          {shown.map((it) => (
            <li key={nameOf(it)}>
              <a href={`#/explorer/${it.operation.operationId}`} aria-current={it === chosen ? 'true' : undefined}><span class={`method ${it.method.toLowerCase()}`}>{it.method}</span><span class="mono">{it.path}</span></a>
            </li>
          ))}
        </ul>
      </Panel>
      <Tried key={nameOf(chosen)} request={chosen} example={exampleOf(data, chosen)} />
    </div>
  );
}

function exampleOf(document: Document, { operation }: Request): string | undefined {
  const schema = operation.requestBody?.content['application/json']?.schema;
  if (schema === undefined) return undefined;
  const named = schema.$ref === undefined ? schema : document.components.schemas[schema.$ref.split('/').at(-1) ?? ''];
  return JSON.stringify(named?.example ?? {}, null, 2);
}

function addressOf({ path, operation }: Request, values: Readonly<Record<string, string>>): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ''));
  const asked = (operation.parameters ?? []).filter((it) => it.in === 'query' && (values[it.name] ?? '') !== '');
  const search = new URLSearchParams(asked.map((it) => [it.name, values[it.name]!])).toString();
  return search === '' ? filled : `${filled}?${search}`;
}

function Tried({ request, example }: { request: Request; example: string | undefined }) {
  const { method, operation } = request;
  const [values, setValues] = useState<Readonly<Record<string, string>>>({});
  const [body, setBody] = useState(example ?? '');
  const [answer, setAnswer] = useState<RawAnswer>();
  const [failure, setFailure] = useState<ApiFailure>();
  const [isAsking, setAsking] = useState(false);
  const mayWrite = useMayWrite();
  const parameters = (operation.parameters ?? []).filter((it) => it.in !== 'header');
  const isChange = method !== 'GET' && operation.operationId !== 'showPresence';
  const isWhole = parameters.every((it) => it.in !== 'path' || (values[it.name] ?? '') !== '');
  const address = addressOf(request, values);
  const send = async () => {
    setFailure(undefined);
    await askRaw(method, address, example === undefined ? undefined : body).then(setAnswer, setFailure);
  };
  const submit = (event: Event) => {
    event.preventDefault();
    if (isChange) setAsking(true);
    else void send();
  };
  return (
    <Panel title={nameOf(request)}>
      <div class="panel-body tried">
        <p>{operation.summary}</p>
        {operation.description !== undefined && <p class="quiet">{operation.description}</p>}
        <form class="form" onSubmit={submit}>
          {parameters.map((it) => (
            <label class="field" key={it.name}><span>{it.name}{it.in === 'path' ? '' : ', optional'}</span>
              <input value={values[it.name] ?? ''} placeholder={it.schema.default === undefined ? '' : String(it.schema.default)} title={it.description} onInput={(event) => setValues({ ...values, [it.name]: event.currentTarget.value })} autocomplete="off" spellcheck={false} />
            </label>
          ))}
          {example !== undefined && (
            <label class="field body"><span>Body</span><textarea rows={Math.min(14, body.split('\n').length + 1)} value={body} onInput={(event) => setBody(event.currentTarget.value)} spellcheck={false} /></label>
          )}
          {isChange && !mayWrite
            ? <p class="quiet" role="note">This request changes something, and this login reads only.</p>
            : <button type="submit" class="button primary" disabled={!isWhole}>Send</button>}
        </form>
        {failure !== undefined && <Failed failure={failure} />}
        {answer !== undefined && failure === undefined && <Shown answer={answer} />}
        {isAsking && (
          <Confirm title={`Send ${method}?`} name={operation.operationId} action="Send" onClose={() => setAsking(false)} onConfirm={send}>
            <p class="mono">{method} {address}</p>
            <p>This changes something on the server.</p>
          </Confirm>
        )}
      </div>
    </Panel>
  );
}

function Shown({ answer }: { answer: RawAnswer }) {
  let text = answer.text;
  try {
    text = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Metrics are text.
  }
  return (
    <div class="answer" role="status">
      <p><Badge tone={answer.status < 300 ? 'good' : 'bad'}>{answer.status}</Badge> <span class="quiet">{Math.round(answer.took)} ms</span></p>
      <pre tabIndex={0} aria-label="Answer">{text}</pre>
    </div>
  );
}
