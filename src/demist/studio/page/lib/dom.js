// Elements without ceremony. Text is always text: nothing is ever parsed as HTML.

export function make(tag, attributes = {}, ...children) {
  const svg = ['svg', 'g', 'path', 'line', 'circle', 'rect', 'text', 'polyline', 'polygon', 'title'].includes(tag);
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'style') Object.assign(element.style, value);
    else if (name in element && typeof value !== 'string' && !svg) element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A sentence in the corner, which goes by itself; errors stay until they are closed.
export function say(text, kind = '') {
  const notes = document.getElementById('notes');
  const close = make('button', { class: 'quiet', type: 'button', 'aria-label': 'Close' }, '×');
  const note = make('div', { class: `note ${kind} row spread` }, make('span', {}, text), close);
  close.addEventListener('click', () => note.remove());
  while (notes.children.length > 3) notes.firstChild.remove();
  notes.append(note);
  if (kind !== 'bad') setTimeout(() => note.remove(), 6000);
}

// The colour that a token has now, for canvases: token('--accent').
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

// Calls `draw` when the theme or the size of `element` changes; returns a function that ends it.
export function watch(element, draw) {
  const sizes = new ResizeObserver(draw);
  sizes.observe(element);
  window.addEventListener('demist-theme', draw);
  return () => { sizes.disconnect(); window.removeEventListener('demist-theme', draw); };
}

// A canvas as sharp as the screen: returns its context, scaled so that one unit is one CSS pixel.
export function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

export function number(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (Number.isInteger(value)) return value.toLocaleString('en');
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-4 ? value.toExponential(2) : Number(value.toPrecision(digits)).toLocaleString('en', { maximumSignificantDigits: digits });
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

export function ago(stamp) {
  const seconds = (Date.now() - Date.parse(stamp)) / 1000;
  if (!Number.isFinite(seconds)) return '–';
  for (const [unit, size] of [['d', 86400], ['h', 3600], ['min', 60]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  return 'just now';
}

// `f(key)`, whose values are kept for the `most` keys that were asked for last; a promise that fails is not.
export function bounded(most, f) {
  const kept = new Map();
  return (key) => {
    const found = kept.has(key) ? kept.get(key) : f(key);
    kept.delete(key);
    kept.set(key, found);
    found?.catch?.(() => { if (kept.get(key) === found) kept.delete(key); });
    if (kept.size > most) kept.delete(kept.keys().next().value);
    return found;
  };
}
