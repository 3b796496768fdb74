// <demist-curve>: lines over steps. Set `.data = {x, lines: [{y, label, faint}], xLabel, xFormat, yLabel, log}`.
// Pointer or arrow keys read the values; nothing moves when they do.
import { axes } from '../lib/axes.js';
import { make, number, sharp, token, watch } from '../lib/dom.js';

export class Curve extends HTMLElement {
  #data = null;
  #at = null;
  #place = null;
  #end = () => {};

  connectedCallback() {
    if (!this.canvas) {
      this.canvas = make('canvas', { tabindex: '0', role: 'img' });
      this.legend = make('p', { class: 'legend', 'aria-live': 'off' });
      this.append(this.canvas, this.legend);
      this.canvas.addEventListener('pointermove', (event) => this.#read(event.offsetX));
      this.canvas.addEventListener('pointerleave', () => { this.#at = null; this.draw(); });
      this.canvas.addEventListener('blur', () => { this.#at = null; this.draw(); });
      this.canvas.addEventListener('keydown', (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step || !this.#data?.x.length) return;
        event.preventDefault();
        const last = this.#data.x.length - 1;
        this.#at = Math.max(0, Math.min(last, (this.#at ?? (step > 0 ? -1 : last)) + step * (event.shiftKey ? 10 : 1)));
        this.draw();
      });
    }
    this.#end = watch(this, () => this.draw());
    this.draw();
  }

  disconnectedCallback() { this.#end(); }

  set data(value) { this.#data = value; if (this.isConnected) this.draw(); }
  get data() { return this.#data; }

  draw() {
    const data = this.#data;
    const width = Math.floor(this.clientWidth), height = 220;
    if (!data || width < 60) return;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const context = sharp(this.canvas, width, height);
    context.clearRect(0, 0, width, height);
    const colours = data.lines.map((line, i) => (line.faint ? token('--plot-faint') : token(`--plot-${line.colour ?? i + 1}`)));
    const known = data.lines.flatMap((line) => line.y.filter((v) => Number.isFinite(v) && (!data.log || v > 0)));
    this.canvas.setAttribute('aria-label', summary(data, known));
    if (!known.length) {
      context.fillStyle = token('--muted');
      context.font = `13px ${token('--font')}`;
      context.textAlign = 'center';
      context.fillText('nothing recorded yet', width / 2, height / 2);
      this.legend.replaceChildren();
      return;
    }
    let [low, high] = range(known, data.log);
    if (data.zero && !data.log) [low, high] = [Math.min(0, low), Math.max(high, 1.08 * Math.max(...known))];
    const x = data.x;
    const place = axes(context, width, height, {
      x: { low: x[0] === x.at(-1) ? x[0] - 1 : x[0], high: x.at(-1), label: data.xLabel ?? 'step' },
      y: { low, high, label: data.yLabel, log: data.log, format: data.format },
    });
    this.#place = place;
    context.save();
    context.beginPath();
    context.rect(place.left, place.top, place.width, place.height);
    context.clip();
    data.lines.forEach((line, k) => {
      context.strokeStyle = colours[k];
      context.lineWidth = line.faint ? 1 : 2;
      context.lineJoin = 'round';
      context.beginPath();
      let on = false;
      line.y.forEach((v, i) => {
        if (!Number.isFinite(v) || (data.log && v <= 0)) { on = false; return; }
        context[on ? 'lineTo' : 'moveTo'](place.x(x[i]), place.y(v));
        on = true;
      });
      context.stroke();
    });
    if (this.#at !== null) {
      const at = Math.round(place.x(x[this.#at])) + 0.5;
      context.strokeStyle = token('--muted');
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(at, place.top);
      context.lineTo(at, place.top + place.height);
      context.stroke();
      data.lines.forEach((line, k) => {
        const v = line.y[this.#at];
        if (!Number.isFinite(v)) return;
        context.fillStyle = colours[k];
        context.beginPath();
        context.arc(at, place.y(v), 3.5, 0, 7);
        context.fill();
      });
    }
    context.restore();
    const i = this.#at ?? x.length - 1;
    const shown = data.format ?? number;
    this.legend.replaceChildren(
      make('span', {}, `${data.xLabel ?? 'step'} ${data.xFormat ? data.xFormat(x[i]) : x[i].toLocaleString('en')}`),
      ...data.lines.map((line, k) => make('span', {},
        make('i', { class: 'swatch', style: { background: colours[k] } }), `${line.label} ${shown(line.y[i])}`)),
    );
  }

  #read(pixels) {
    if (!this.#place || !this.#data?.x.length) return;
    const x = this.#data.x;
    const wanted = x[0] + ((pixels - this.#place.left) / this.#place.width) * (x.at(-1) - x[0]);
    let best = 0;
    for (let i = 1; i < x.length; i++) if (Math.abs(x[i] - wanted) < Math.abs(x[best] - wanted)) best = i;
    this.#at = best;
    this.draw();
  }
}

// From a hundredth to the last hundredth of the values, so that one outlier does not flatten all.
function range(values, log) {
  const sorted = [...values].sort((a, b) => a - b);
  const low = sorted[Math.floor(0.002 * (sorted.length - 1))], high = sorted[Math.ceil(0.995 * (sorted.length - 1))];
  if (log) return high > low ? [low / (high / low) ** 0.05, high * (high / low) ** 0.05] : [low / 1.5, high * 1.5];
  const space = 0.06 * (high - low) || Math.abs(high) * 0.1 || 1;
  return [low >= 0 ? Math.max(0, low - space) : low - space, high + space];
}

function summary(data, known) {
  if (!known.length) return `${data.yLabel}: nothing recorded yet`;
  const line = data.lines.at(-1);
  const values = line.y.filter(Number.isFinite);
  return `${data.yLabel} over ${data.xLabel ?? 'step'}: ${line.label} from ${number(values[0])} to ${number(values.at(-1))}. Arrow keys read values.`;
}

customElements.define('demist-curve', Curve);
