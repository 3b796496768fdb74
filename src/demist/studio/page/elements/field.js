// <demist-field>: density, score and particles in the plane at one time. Set `.scene = {key, mixture, classes,
// model, frames, at, show: {arrows, contours, trails}, probe, pair, drawing}`; `frames` is {times, states},
// `pair` {conditional, unconditional, scale} or null. Says `probe` {x, y}, `draw` {x, y}, `drawn` {ms}.
import { axes } from '../lib/axes.js';
import { table } from '../lib/colour.js';
import { contour } from '../lib/diffusion/plane.js';
import { make, sharp, token, watch } from '../lib/dom.js';

export const REACH = 3.6;
const CELLS = 108, LEVELS = [0.04, 0.15, 0.35, 0.6, 0.85], TRAIL = 10;
const EVEN = Float64Array.from({ length: CELLS }, (_, i) => -REACH + ((i + 0.5) / CELLS) * 2 * REACH);

export class Field extends HTMLElement {
  #scene = null;
  #end = () => {};
  #asked = 0;
  #colours = null;
  #density = new Float64Array(CELLS * CELLS);

  connectedCallback() {
    if (!this.canvas) this.#build();
    this.#end = watch(this, () => { this.#colours = null; this.#ask(); });
    this.#ask();
  }

  disconnectedCallback() { this.#end(); cancelAnimationFrame(this.#asked); this.#asked = 0; }

  set scene(value) { this.#scene = value; this.#ask(); }
  get scene() { return this.#scene; }

  #ask() {
    if (!this.#scene || !this.isConnected || this.#asked) return;
    this.#asked = requestAnimationFrame(() => { this.#asked = 0; this.draw(); });
  }

  #build() {
    this.canvas = make('canvas', { role: 'img', 'aria-label': '' });
    this.handle = make('button', { type: 'button', class: 'probe', title: 'Drag me, or use the arrow keys' });
    this.append(this.canvas, this.handle);
    this.small = document.createElement('canvas');
    this.small.width = this.small.height = CELLS;
    this.image = new ImageData(CELLS, CELLS);
    this.pixels = new Uint32Array(this.image.data.buffer);
    let held = '', last = null;
    const say = (name, { x, y }) => this.dispatchEvent(new CustomEvent(name, { detail: { x: within(x), y: within(y) } }));
    const press = (event, what) => {
      if (event.button !== 0) return;
      event.preventDefault();
      event.target.focus({ preventScroll: true });
      event.target.setPointerCapture(event.pointerId);
      held = what;
      last = this.#point(event);
      say(held, last);
    };
    this.canvas.addEventListener('pointerdown', (event) => press(event, this.#scene.drawing ? 'draw' : 'probe'));
    this.handle.addEventListener('pointerdown', (event) => press(event, 'probe'));
    for (const one of [this.canvas, this.handle]) {
      one.addEventListener('pointermove', (event) => {
        if (!held) return;
        const now = this.#point(event);
        if (held === 'draw' && Math.hypot(now.x - last.x, now.y - last.y) < 0.22) return;
        last = now;
        say(held, now);
      });
      for (const end of ['pointerup', 'pointercancel']) one.addEventListener(end, () => { held = ''; });
    }
    this.handle.addEventListener('keydown', (event) => {
      const { x, y } = this.#scene.probe, by = event.shiftKey ? 0.5 : 0.1;
      const next = { ArrowLeft: { x: x - by, y }, ArrowRight: { x: x + by, y }, ArrowUp: { x, y: y + by }, ArrowDown: { x, y: y - by } }[event.key];
      if (next) { event.preventDefault(); say('probe', next); }
      if (this.#scene.drawing && (event.key === 'Enter' || event.key === ' ')) { event.preventDefault(); say('draw', { x, y }); }
    });
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect(), { left, top, width, height } = this.place;
    return {
      x: -REACH + ((event.clientX - box.left - left) / width) * 2 * REACH,
      y: REACH - ((event.clientY - box.top - top) / height) * 2 * REACH,
    };
  }

  #x(v) { return this.place.left + ((v + REACH) / (2 * REACH)) * this.place.width; }
  #y(v) { return this.place.top + ((REACH - v) / (2 * REACH)) * this.place.height; }

  draw() {
    const began = performance.now(), { mixture, model, at, show, frames, probe, drawing } = this.#scene;
    const width = Math.floor(this.clientWidth);
    if (width < 120) return;
    const t = 1 - at, [alpha, sigma] = model.schedule.at(t);
    // where the noise is much wider than the data, as in VE, all is drawn in units of the whole
    this.unit = Math.hypot(...model.schedule.at(1)) > 1.5 ? 1 / Math.hypot(alpha, sigma) : 1;
    const size = Math.min(width, 620);
    this.canvas.style.width = `${size}px`;
    this.canvas.style.height = `${size}px`;
    this.dark = getComputedStyle(document.documentElement).colorScheme === 'dark';
    const context = sharp(this.canvas, size, size);
    context.clearRect(0, 0, size, size);
    const marks = [-3, -2, -1, 0, 1, 2, 3];
    const label = (n) => (this.unit === 1 ? n : `${n} / √(α² + σ²)`);
    const edge = { left: 44, right: 8, top: 8, bottom: 44 };
    this.place = axes(context, size, size, { grid: false, margin: edge,
      x: { low: -REACH, high: REACH, ticks: marks, label: label('x₁') }, y: { low: -REACH, high: REACH, ticks: marks, label: label('x₂') } });
    this.#heat(context, mixture, alpha, sigma);
    context.save();
    context.beginPath();
    context.rect(this.place.left, this.place.top, this.place.width, this.place.height);
    context.clip();
    if (show.contours) this.#contours(context);
    if (show.arrows) this.#arrows(context, model, t);
    this.#data(context, mixture, alpha, t);
    if (frames) this.#particles(context, frames, t, show.trails);
    if (sigma > 0) this.#probe(context, model, t, probe);
    context.restore();
    this.handle.style.left = `${this.#x(probe.x)}px`;
    this.handle.style.top = `${this.#y(probe.y)}px`;
    this.handle.setAttribute('aria-label', `Probe at ${probe.x.toFixed(1)}, ${probe.y.toFixed(1)}; arrow keys move it${drawing ? ', Enter draws a point' : ''}`);
    this.canvas.setAttribute('aria-label', this.#scene.words ?? 'Density of points in the plane');
    this.dispatchEvent(new CustomEvent('drawn', { detail: { ms: performance.now() - began } }));
  }

  #heat(context, mixture, alpha, sigma) {
    if (!this.#colours) {
      const bytes = table(this.dark ? 'deep' : 'water');
      this.#colours = Uint32Array.from({ length: 256 }, (_, i) => (255 << 24) | (bytes[3 * i + 2] << 16) | (bytes[3 * i + 1] << 8) | bytes[3 * i]);
    }
    const at = this.unit === 1 ? EVEN : EVEN.map((v) => v / this.unit);
    const density = mixture.raster(at, at, alpha, sigma, this.#density);
    let most = 1e-300;
    for (let i = 0; i < density.length; i++) if (density[i] > most) most = density[i];
    for (let j = 0; j < CELLS; j++) {
      for (let i = 0, o = j * CELLS, p = (CELLS - 1 - j) * CELLS; i < CELLS; i++) {
        this.pixels[p + i] = this.#colours[(220 * (density[o + i] /= most) + 0.5) | 0];
      }
    }
    this.small.getContext('2d').putImageData(this.image, 0, 0);
    const { left, top, width, height } = this.place;
    context.imageSmoothingQuality = 'high';
    context.drawImage(this.small, left, top, width, height);
    context.strokeStyle = token('--line-strong');
    context.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
  }

  #contours(context) {
    const { left, top, width, height } = this.place, cell = width / CELLS;
    context.strokeStyle = token('--text');
    context.lineWidth = 1;
    context.globalAlpha = 0.28;
    context.beginPath();
    for (const level of LEVELS) {
      const lines = contour(this.#density, CELLS, CELLS, level);
      for (let k = 0; k < lines.length; k += 4) {
        context.moveTo(left + (lines[k] + 0.5) * cell, top + height - (lines[k + 1] + 0.5) * cell);
        context.lineTo(left + (lines[k + 2] + 0.5) * cell, top + height - (lines[k + 3] + 0.5) * cell);
      }
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  // sigma times the score, which is minus the expected noise: of order one at every time.
  #arrows(context, model, t) {
    const count = this.place.width > 420 ? 17 : 13, places = new Float64Array(2 * count * count);
    const step = (2 * REACH) / count;
    for (let j = 0; j < count; j++) {
      for (let i = 0; i < count; i++) {
        places[2 * (j * count + i)] = -REACH + (i + 0.5) * step;
        places[2 * (j * count + i) + 1] = -REACH + (j + 0.5) * step;
      }
    }
    const { eps } = model.predict(this.unit === 1 ? places : places.map((v) => v / this.unit), Math.max(t, 1e-3));
    context.strokeStyle = token('--text');
    context.fillStyle = token('--text');
    context.globalAlpha = 0.62;
    context.lineWidth = 1.1;
    context.beginPath();
    const most = (0.86 * this.place.width) / count;
    for (let k = 0; k < places.length; k += 2) {
      const size = Math.hypot(eps[k], eps[k + 1]), long = most * Math.min(1, 0.2 + size / 3);
      if (size < 1e-9) continue;
      const dx = (-eps[k] / size) * long, dy = (eps[k + 1] / size) * long;
      const x = this.#x(places[k]) - dx / 2, y = this.#y(places[k + 1]) - dy / 2;
      head(context, x, y, x + dx, y + dy, 4);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #data(context, mixture, alpha, t) {
    if (t > 0.35) return; // they fade in where the density narrows to them
    const { classes, pair } = this.#scene;
    context.globalAlpha = Math.min(1, (0.35 - t) / 0.2) * 0.9;
    for (let k = 0; k < mixture.count; k++) {
      const x = this.#x(alpha * this.unit * mixture.means[2 * k]), y = this.#y(alpha * this.unit * mixture.means[2 * k + 1]);
      context.strokeStyle = pair ? token(classes[k] === 0 ? '--plot-3' : '--plot-4') : token('--accent');
      context.lineWidth = 1.5;
      context.beginPath();
      if (pair && classes[k] === 1) context.rect(x - 3, y - 3, 6, 6); // a shape as well as a colour
      else context.arc(x, y, 3.4, 0, 2 * Math.PI);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  #particles(context, { times, states }, t, trails) {
    const n = states[0].length, unit = this.unit;
    let i = 1;
    while (i < times.length - 1 && times[i] > t) i++;
    const w = Math.min(1, Math.max(0, (times[i - 1] - t) / (times[i - 1] - times[i])));
    const before = states[i - 1], after = states[i];
    const scale = (k) => (unit === 1 ? 1 : 1 / Math.hypot(...this.#scene.model.schedule.at(times[k])));
    const fill = token('--plot-2'), edge = token('--surface');
    const now = Float64Array.from(before, (v, k) => v * (1 - w) * scale(i - 1) + after[k] * w * scale(i));
    if (trails && i > 0) {
      context.strokeStyle = fill;
      context.lineWidth = 1;
      context.globalAlpha = 0.38;
      const first = this.#scene.rising ? Math.min(times.length - 1, i + TRAIL) : Math.max(0, i - TRAIL);
      const order = [];
      if (this.#scene.rising) for (let k = first; k >= i; k--) order.push(k);
      else for (let k = first; k < i; k++) order.push(k);
      const scales = order.map(scale);
      context.beginPath();
      for (let p = 0; p < n; p += 2) {
        order.forEach((k, o) => {
          const x = this.#x(states[k][p] * scales[o]), y = this.#y(states[k][p + 1] * scales[o]);
          if (o === 0) context.moveTo(x, y); else context.lineTo(x, y);
        });
        if (order.length) context.lineTo(this.#x(now[p]), this.#y(now[p + 1]));
      }
      context.stroke();
      context.globalAlpha = 1;
    }
    context.fillStyle = fill;
    context.strokeStyle = edge;
    context.lineWidth = 0.75;
    context.beginPath();
    for (let p = 0; p < n; p += 2) {
      const x = this.#x(now[p]), y = this.#y(now[p + 1]);
      context.moveTo(x + 2.3, y);
      context.arc(x, y, 2.3, 0, 2 * Math.PI);
    }
    context.fill();
    context.stroke();
  }

  // At the probe: where the score points; with a class the three arrows of guidance.
  #probe(context, model, t, probe) {
    const { pair } = this.#scene, here = Float64Array.of(probe.x / this.unit, probe.y / this.unit);
    const time = Math.max(t, 1e-3);
    const arrow = (eps, colour, width, dash = []) => {
      const x = this.#x(probe.x), y = this.#y(probe.y), long = this.place.width / (2 * REACH);
      const dx = -eps[0] * long, dy = eps[1] * long;
      for (const [style, wide] of [[token('--surface'), width + 3], [colour, width]]) {
        context.strokeStyle = style;
        context.lineWidth = wide;
        context.setLineDash(style === colour ? dash : []);
        context.beginPath();
        head(context, x, y, x + dx, y + dy, 9);
        context.stroke();
      }
      context.setLineDash([]);
    };
    context.lineJoin = context.lineCap = 'round';
    if (pair) {
      const u = pair.unconditional.predict(here, time).eps, c = pair.conditional.predict(here, time).eps;
      arrow(u.map((v, i) => v + pair.scale * (c[i] - v)), token('--plot-2'), 3.5);
      arrow(u, token('--plot-1'), 2.5);
      arrow(c, token('--plot-3'), 2.5);
    } else arrow(model.predict(here, time).eps, token('--plot-1'), 3);
    context.lineJoin = context.lineCap = 'butt';
    context.lineJoin = 'miter';
  }
}

function head(context, x0, y0, x1, y1, size) {
  const angle = Math.atan2(y1 - y0, x1 - x0);
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  for (const turn of [-0.5, 0.5]) {
    context.moveTo(x1, y1);
    context.lineTo(x1 - size * Math.cos(angle + turn), y1 - size * Math.sin(angle + turn));
  }
}

const within = (v) => Math.round(100 * Math.min(REACH, Math.max(-REACH, v))) / 100;

customElements.define('demist-field', Field);
