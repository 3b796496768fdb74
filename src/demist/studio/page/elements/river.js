// <demist-river>: density over time, paths from noise to data, and data to be dragged.
// Set `.scene = {data, width, schedule, solver, grid, steps, paths, seed, chosen, across, guess, at, hidden}`.
// Says `datum` {index, value, done}, `remove` {index}, `choose` {path}, `mark` {value}, `drawn` {ms}.
import { axes } from '../lib/axes.js';
import { table } from '../lib/colour.js';
import { across, densities, flow, predictions } from '../lib/diffusion/flow.js';
import { make, sharp, token, watch } from '../lib/dom.js';

export const REACH = 10; // data lie between -10 and 10
const LOW = -12, HIGH = 12, COLUMNS = 240, ROWS = 200;
const YS = Float64Array.from({ length: ROWS }, (_, r) => HIGH - ((r + 0.5) / ROWS) * (HIGH - LOW));
const GUTTER = 62; // room for the data, right of the picture

export class River extends HTMLElement {
  #scene = null;
  #key = '';
  #end = () => {};
  #asked = 0;
  #shares = new Float64Array(COLUMNS * ROWS);
  #colours = null;

  connectedCallback() {
    if (!this.base) this.#build();
    this.#end = watch(this, () => { this.#key = ''; this.#colours = null; this.#ask(); });
    this.#ask();
  }

  disconnectedCallback() { this.#end(); cancelAnimationFrame(this.#asked); this.#asked = 0; }

  set scene(value) { this.#scene = { ...value }; this.#ask(); }
  get scene() { return this.#scene; }

  // What is shown, as numbers: {times, states, mixture, ...} of lib/diffusion/flow.js.
  get found() { return this.flow; }

  #build() {
    this.base = make('canvas', { role: 'img', 'aria-label': '' });
    this.over = make('canvas', { class: 'over', 'aria-hidden': 'true' });
    this.handles = make('div', { class: 'handles' });
    this.append(this.base, this.over, this.handles);
    this.over.addEventListener('pointerdown', (event) => this.#press(event));
    this.small = document.createElement('canvas');
    this.small.width = COLUMNS;
    this.small.height = ROWS;
    this.image = new ImageData(COLUMNS, ROWS);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  #ask() {
    if (!this.#scene || !this.isConnected || this.#asked) return;
    this.#asked = requestAnimationFrame(() => { this.#asked = 0; this.draw(); });
  }

  // Everything anew, or only what lies above the picture where the river itself is the same.
  draw() {
    const began = performance.now();
    const width = Math.floor(this.clientWidth);
    if (width < 120) return;
    const { at, chosen, guess, hidden, ...rest } = this.#scene;
    const key = JSON.stringify([rest, chosen, hidden, width]);
    if (key !== this.#key) {
      this.#compute(rest);
      this.#paint(width);
      this.#key = key;
    }
    this.#above(at, guess);
    const ms = performance.now() - began;
    this.dispatchEvent(new CustomEvent('drawn', { detail: { ms } }));
  }

  #compute(rest) {
    const key = JSON.stringify(rest);
    if (key !== this.computed) {
      this.flow = flow(rest);
      this.layout = across(this.flow.route, rest.across);
      densities(this.flow, this.layout, COLUMNS, YS, this.#shares);
      this.us = Array.from(this.flow.times, this.layout.u);
      this.scales = Array.from(this.flow.times, this.layout.scale);
      this.computed = key;
    }
    this.guesses = predictions(this.flow, Math.min(this.#scene.chosen, this.#scene.paths - 1));
  }

  #paint(width) {
    const { across: kind, chosen, hidden, paths } = this.#scene;
    const height = Math.round(Math.min(560, Math.max(340, width * 0.56)));
    for (const canvas of [this.base, this.over]) {
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    this.dark = getComputedStyle(document.documentElement).colorScheme === 'dark';
    const context = sharp(this.base, width, height);
    context.clearRect(0, 0, width, height);
    const marks = kind === 'noise' ? [90, 67.5, 45, 22.5, 0] : [1, 0.75, 0.5, 0.25, 0];
    const place = axes(context, width, height, {
      grid: false, margin: { right: GUTTER, bottom: 58 },
      x: { low: 0, high: 1, label: '', ticks: [0, 0.25, 0.5, 0.75, 1], format: (u) => `${marks[Math.round(u * 4)]}${kind === 'noise' ? '°' : ''}` },
      y: { low: LOW, high: HIGH, ticks: [-10, -5, 0, 5, 10], label: this.layout.exploding ? 'x / √(α² + σ²)' : 'value x' },
    });
    this.place = place;
    this.size = { width, height };
    this.#names(context, kind);
    this.#heat(context);
    this.#steps(context);
    context.save();
    context.beginPath();
    context.rect(place.left, place.top, place.width, place.height);
    context.clip();
    context.strokeStyle = token('--text');
    context.lineWidth = 1;
    context.globalAlpha = hidden ? 0 : Math.min(0.42, 0.2 + 4 / paths);
    for (let i = 0; i < paths; i++) if (i !== chosen) this.#line(context, i);
    context.restore();
    this.#place();
    this.base.setAttribute('aria-label', this.#words());
  }

  // Both ends of the axis of time, in words.
  #names(context, kind) {
    const { left, top, width, height } = this.place;
    context.save();
    context.font = `600 13px ${token('--font')}`;
    context.fillStyle = token('--text');
    context.textBaseline = 'top';
    const y = top + height + 28;
    context.textAlign = 'left';
    context.fillText('noise', left, y);
    context.textAlign = 'right';
    context.fillText('data', left + width, y);
    context.font = `12px ${token('--font')}`;
    context.fillStyle = token('--muted');
    context.textAlign = 'center';
    const wide = width > 380;
    context.fillText(kind === 'noise' ? (wide ? 'angle between signal and noise, atan2(σ, α)' : 'angle atan2(σ, α)') : (wide ? 'time t (1: pure noise, 0: clean data)' : 'time t'), left + width / 2, y + 1);
    context.restore();
  }

  #heat(context) {
    if (!this.#colours) {
      const bytes = table(this.dark ? 'deep' : 'water');
      this.#colours = Uint32Array.from({ length: 256 }, (_, i) => (255 << 24) | (bytes[3 * i + 2] << 16) | (bytes[3 * i + 1] << 8) | bytes[3 * i]);
    }
    const shares = this.#shares, colours = this.#colours, pixels = this.pixels;
    for (let i = 0; i < pixels.length; i++) pixels[i] = colours[(255 * shares[i] + 0.5) | 0];
    this.small.getContext('2d').putImageData(this.image, 0, 0);
    const { left, top, width, height } = this.place;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = 'high';
    context.drawImage(this.small, left, top, width, height);
    context.strokeStyle = token('--line-strong');
    context.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
  }

  // Where the solver stops on its way.
  #steps(context) {
    const { left, top, width, height } = this.place;
    context.strokeStyle = token('--muted');
    context.beginPath();
    for (const u of this.us) {
      context.moveTo(left + u * width, top + height);
      context.lineTo(left + u * width, top + height + 4);
    }
    context.stroke();
  }

  #y(value) { return this.place.top + this.place.height * ((HIGH - value) / (HIGH - LOW)); }
  #x(u) { return this.place.left + this.place.width * u; }

  #line(context, path, until = 1) {
    const { states } = this.flow;
    context.beginPath();
    for (let i = 0; i < states.length; i++) {
      if (i > 0 && this.us[i] > until) {
        context.lineTo(this.#x(until), this.#y(this.#between(path, until)));
        break;
      }
      const x = this.#x(this.us[i]), y = this.#y(states[i][path] * this.scales[i]);
      if (i === 0) context.moveTo(x, y); else context.lineTo(x, y);
    }
    context.stroke();
  }

  // Where a path is at `u`: straight between two steps.
  #between(path, u) {
    const { states } = this.flow, { us, scales } = this;
    let i = 1;
    while (i < us.length - 1 && us[i] < u) i++;
    const w = Math.min(1, Math.max(0, (u - us[i - 1]) / (us[i] - us[i - 1])));
    return states[i - 1][path] * scales[i - 1] * (1 - w) + states[i][path] * scales[i] * w;
  }

  #above(at, guess) {
    const { width, height } = this.size, { paths, chosen, hidden } = this.#scene;
    const { left, top, width: w, height: h } = this.place;
    const context = sharp(this.over, width, height);
    context.clearRect(0, 0, width, height);
    context.save();
    context.beginPath();
    context.rect(left - 8, top - 6, w + 16, h + 12);
    context.clip();
    const ink = token('--text'), accent = token('--plot-2'), surface = token('--surface');
    if (!hidden) {
      context.strokeStyle = token('--line-strong');
      context.setLineDash([2, 3]);
      context.beginPath();
      context.moveTo(this.#x(at), top);
      context.lineTo(this.#x(at), top + h);
      context.stroke();
      context.setLineDash([]);
    }
    if (chosen >= 0 && chosen < paths) this.#chosen(context, chosen, hidden ? Math.min(at, 1) : 1, accent, surface);
    for (let i = 0; i < paths; i++) {
      if (hidden && i !== chosen) continue;
      this.#dot(context, this.#x(at), this.#y(this.#between(i, at)), i === chosen ? 5.5 : 2.6, i === chosen ? accent : ink, surface);
    }
    context.restore();
    if (guess !== null && guess !== undefined) this.#guess(context, guess);
  }

  #chosen(context, path, until, accent, surface) {
    const { showX0 } = this.#scene;
    context.lineJoin = 'round';
    context.strokeStyle = surface;
    context.lineWidth = 5;
    this.#line(context, path, until);
    context.strokeStyle = accent;
    context.lineWidth = 2.25;
    this.#line(context, path, until);
    if (until === 1 && this.us.length <= 60) {
      this.us.forEach((u, i) => this.#dot(context, this.#x(u), this.#y(this.flow.states[i][path] * this.scales[i]), 2.6, accent, surface));
    }
    if (!showX0) return;
    context.strokeStyle = token('--plot-4');
    context.lineWidth = 2;
    context.setLineDash([6, 4]);
    context.beginPath();
    this.guesses.forEach((x0, i) => {
      if (this.us[i] > until) return;
      const x = this.#x(this.us[i]), y = this.#y(x0);
      if (i === 0) context.moveTo(x, y); else context.lineTo(x, y);
    });
    if (until === 1) context.lineTo(this.#x(1), this.#y(this.flow.states.at(-1)[path]));
    context.stroke();
    context.setLineDash([]);
  }

  #dot(context, x, y, radius, fill, edge) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = fill;
    context.fill();
    context.lineWidth = radius > 4 ? 2 : 1;
    context.strokeStyle = edge;
    context.stroke();
  }

  // The mark of whoever foretells the end: a triangle that points at the data's edge.
  #guess(context, value) {
    const x = this.#x(1) - 20, y = this.#y(value);
    context.fillStyle = token('--plot-3');
    context.strokeStyle = token('--surface');
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x - 15, y - 9);
    context.lineTo(x - 15, y + 9);
    context.closePath();
    context.stroke();
    context.fill();
  }

  // The data as handles: real elements, for mouse, touch and keyboard alike.
  #place() {
    const { data } = this.#scene;
    while (this.handles.children.length > data.length) this.handles.lastChild.remove();
    while (this.handles.children.length < data.length) this.handles.append(this.#handle(this.handles.children.length));
    data.forEach((value, i) => {
      const handle = this.handles.children[i], words = shown(value);
      handle.style.left = `${this.#x(1)}px`;
      handle.style.top = `${this.#y(value)}px`;
      handle.setAttribute('aria-valuenow', String(value));
      handle.setAttribute('aria-valuetext', words);
      handle.setAttribute('aria-label', data.length > 1 ? `Datum ${i + 1} of ${data.length}` : 'The datum');
      handle.querySelector('.value').textContent = words;
    });
  }

  #handle(index) {
    const handle = make('div', {
      class: 'handle', role: 'slider', tabindex: '0', 'aria-orientation': 'vertical',
      'aria-valuemin': String(-REACH), 'aria-valuemax': String(REACH), title: 'Drag me, or use the arrow keys; Delete removes',
    }, make('span', { class: 'knob' }), make('span', { class: 'value' }));
    const tell = (value, done) => this.dispatchEvent(new CustomEvent('datum', {
      detail: { index, value: Math.round(10 * Math.min(REACH, Math.max(-REACH, value))) / 10, done },
    }));
    let offset = null;
    handle.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
      offset = this.#value(event) - this.#scene.data[index];
    });
    handle.addEventListener('pointermove', (event) => { if (offset !== null) tell(this.#value(event) - offset, false); });
    for (const end of ['pointerup', 'pointercancel']) {
      handle.addEventListener(end, () => { if (offset !== null) { offset = null; tell(this.#scene.data[index], true); } });
    }
    handle.addEventListener('keydown', (event) => {
      const now = this.#scene.data[index], by = event.shiftKey ? 1 : 0.1;
      const next = { ArrowUp: now + by, ArrowRight: now + by, ArrowDown: now - by, ArrowLeft: now - by, PageUp: now + 1, PageDown: now - 1, Home: -REACH, End: REACH }[event.key];
      if (next !== undefined) { event.preventDefault(); tell(next, true); }
      if (event.key === 'Delete' || event.key === 'Backspace') {
        event.preventDefault();
        this.dispatchEvent(new CustomEvent('remove', { detail: { index } }));
      }
    });
    return handle;
  }

  #value(event) {
    const box = this.base.getBoundingClientRect();
    return HIGH - ((event.clientY - box.top - this.place.top) / this.place.height) * (HIGH - LOW);
  }

  // A press on the picture chooses the path nearest to it; while one foretells, it sets the mark.
  #press(event) {
    const box = this.base.getBoundingClientRect();
    const u = (event.clientX - box.left - this.place.left) / this.place.width, value = this.#value(event);
    if (u < -0.03 || u > 1.03 || value > HIGH || value < LOW) return;
    if (this.#scene.hidden) {
      this.dispatchEvent(new CustomEvent('mark', { detail: { value: Math.round(10 * Math.min(REACH, Math.max(-REACH, value))) / 10 } }));
      return;
    }
    let path = 0, best = Infinity;
    for (let i = 0; i < this.#scene.paths; i++) {
      const gap = Math.abs(this.#between(i, Math.min(1, Math.max(0, u))) - value);
      if (gap < best) { best = gap; path = i; }
    }
    this.dispatchEvent(new CustomEvent('choose', { detail: { path } }));
  }

  #words() {
    const { data, paths, steps, solver, schedule, hidden } = this.#scene;
    if (hidden) return 'A riddle: one path begins in the noise at the left; the data are at the right; where the path ends is hidden.';
    const ends = this.flow.states.at(-1), count = data.map(() => 0);
    for (const end of ends) count[data.reduce((f, v, i) => (Math.abs(v - end) < Math.abs(data[f] - end) ? i : f), 0)]++;
    const where = data.map((v, i) => `${count[i]} near ${shown(v)}`).join(', ');
    return `Density over time as a heat map, from noise at the left to data at the right. ${paths} paths flow along it and end: ${where}. ${solver}, ${steps} steps, schedule ${schedule}.`;
  }
}

export const shown = (value) => String(Number(value.toFixed(2))).replace('-', '−');

customElements.define('demist-river', River);
