// The server, as functions. Every failure is an Error whose message is the server's own sentence.

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: 'same-origin', ...options });
  } catch {
    throw new Error('the studio does not answer; is `demist studio` still running?');
  }
  const kind = answer.headers.get('content-type') ?? '';
  const value = kind.includes('json') ? await answer.json() : await answer.blob();
  if (!answer.ok) throw Object.assign(new Error(value.error ?? `the studio answered ${answer.status}`), { status: answer.status });
  return value;
}

const send = (method) => (path, value) => request(path, {
  method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value ?? {}),
});

export const get = (path) => request(path);
export const post = send('POST');
export const remove = (path) => request(path, { method: 'DELETE' });
export const upload = (blob) => request('/api/uploads', { method: 'POST', body: blob, headers: { 'content-type': 'application/octet-stream' } });
export const file = (job, name, version = 0) => `/api/jobs/${job}/files/${name}${version ? `?v=${version}` : ''}`;

// One stream of events for the whole page. `events(f)` calls f with each and returns the way to stop.
const listeners = new Set();
const states = new Set();
let source = null;

function open() {
  source = new EventSource('/api/events');
  source.onopen = () => states.forEach((f) => f(true));
  source.onerror = () => {
    states.forEach((f) => f(false));
    if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
  };
  source.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    for (const f of listeners) f(event);
  };
}

export function events(f) {
  if (source === null) open();
  listeners.add(f);
  return () => listeners.delete(f);
}

export function connected(f) {
  states.add(f);
  return () => states.delete(f);
}

// Start a job and follow it: `on(event)` hears everything about it; returns its id and the way to stop.
export async function start(kind, settings, on) {
  const early = [];
  let id = null;
  const stop = events((event) => (id === null ? early.push(event) : event.job === id && on(event)));
  try {
    ({ id } = await post('/api/jobs', { kind, settings }));
  } catch (error) {
    stop();
    throw error;
  }
  for (const event of early) if (event.job === id) on(event);
  return { id, stop, cancel: () => post(`/api/jobs/${id}/cancel`) };
}

// Follow a job that may have begun long ago: its present state first, as an event, then what comes.
export async function follow(id, on) {
  let early = []; // the answer may be older than they are: they are told after it
  const stop = events((event) => {
    if (event.job === id) (early ? early.push(event) : on(event));
    else if (event.type === 'reset') get(`/api/jobs/${id}`).then((job) => on({ type: 'state', ...job, job: id }), () => {});
  });
  const job = await get(`/api/jobs/${id}`);
  on({ type: 'state', ...job, job: id });
  const waiting = early;
  early = null;
  for (const event of waiting) on(event);
  return { id, stop, cancel: () => post(`/api/jobs/${id}/cancel`) };
}

// Pictures that change faster than they load: always the newest, one request at a time.
export function latest(show) {
  let busy = false;
  let next = null;
  async function pump() {
    busy = true;
    while (next !== null) {
      const url = next;
      next = null;
      try { await show(url); } catch { /* the next one may come */ }
    }
    busy = false;
  }
  return (url) => { next = url; if (!busy) pump(); };
}
