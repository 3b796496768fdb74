// The state of a page in its address: #/river?data=8&steps=20. Short, readable, to be shared.

export function parse(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  const [page, ...rest] = path.split('/');
  return { page, rest: rest.join('/'), query: new URLSearchParams(query) };
}

// The values of `defaults` as the address has them; each keeps the type that its default has.
export function read(defaults) {
  const { query } = parse(location.hash);
  const found = {};
  for (const [name, value] of Object.entries(defaults)) {
    const text = query.get(name);
    found[name] = text === null ? value : typed(text, value);
  }
  return found;
}

// Put into the address what differs from the defaults, without a new entry in the history.
export function write(state, defaults) {
  const { page, rest } = parse(location.hash);
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(defaults)) {
    const text = plain(state[name]);
    if (name in state && text !== plain(value)) query.set(name, text);
  }
  const words = query.toString().replaceAll('%2C', ',');
  const hash = `#/${page}${rest ? `/${rest}` : ''}${words ? `?${words}` : ''}`;
  if (hash !== location.hash) history.replaceState(null, '', hash);
}

const plain = (value) => (Array.isArray(value) ? value.join(',') : String(value));

function typed(text, like) {
  if (Array.isArray(like)) {
    const parts = text === '' ? [] : text.split(',');
    return typeof (like[0] ?? '') === 'number' ? parts.map(Number).filter(Number.isFinite) : parts;
  }
  if (typeof like === 'number') return Number.isFinite(Number(text)) && text !== '' ? Number(text) : like;
  if (typeof like === 'boolean') return text === 'true';
  return text;
}
