// <demist-heat>: a table of numbers as colours. Set
// `.data = {values: rows[column][row], x, yEdges, xLabel, yLabel, label}`; columns are drawn left to right.
import { axes } from '../lib/axes.js';
import { colour, heat } from '../lib/colour.js';
import { make, number, sharp, token, watch } from '../lib/dom.js';

export class Heat extends HTMLElement {
  #data = null;
  #end = () => {};

  connectedCallback() {
    if (!this.canvas) {
      this.canvas = make('canvas', { role: 'img' });
      this.bar = make('p', { class: 'legend' });
      this.append(this.canvas, this.bar);
      this.canvas.addEventListener('pointermove', (event) => this.#read(event));
      this.canvas.addEventListener('pointerleave', () => this.#legend());
    }
    this.#end = watch(this, () => this.draw());
    this.draw();
  }

  disconnectedCallback() { this.#end(); }

  set data(value) { this.#data = value; if (this.isConnected) this.draw(); }

  draw() {
    const data = this.#data;
    const width = Math.floor(this.clientWidth), height = 260;
    if (!data || width < 60) return;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const context = sharp(this.canvas, width, height);
    context.clearRect(0, 0, width, height);
    const { values, x, yEdges } = data;
    const logs = values.flat().filter((v) => v > 0).map(Math.log10).sort((a, b) => a - b);
    this.low = logs[Math.floor(0.01 * (logs.length - 1))] ?? 0;
    this.high = Math.max(this.low + 0.01, logs[Math.ceil(0.99 * (logs.length - 1))] ?? 1);
    const place = axes(context, width, height, {
      grid: false,
      x: { low: x[0], high: x.at(-1) > x[0] ? x.at(-1) : x[0] + 1, label: data.xLabel },
      y: { low: yEdges[0], high: yEdges.at(-1), label: data.yLabel },
    });
    this.place = place;
    // Every row of pixels belongs to one level; every column to the step whose line is next.
    const columns = Math.max(1, Math.round(place.width)), rows = Math.max(1, Math.round(place.height));
    const picture = new Float64Array(columns * rows).fill(NaN);
    const levels = Array.from({ length: rows }, (_, r) => level(yEdges, yEdges.at(-1) - ((r + 0.5) / rows) * (yEdges.at(-1) - yEdges[0])));
    let k = 0;
    for (let c = 0; c < columns; c++) {
      const step = x[0] + ((c + 0.5) / columns) * (x.at(-1) - x[0]);
      while (k < x.length - 1 && x[k] < step) k++;
      for (let r = 0; r < rows; r++) {
        const v = values[k]?.[levels[r]];
        if (v > 0) picture[r * columns + c] = Math.log10(v);
      }
    }
    const image = heat(picture, columns, rows, this.low, this.high, 'viridis');
    const small = make('canvas', { width: columns, height: rows });
    small.getContext('2d').putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.fillStyle = token('--sunken');
    context.fillRect(place.left, place.top, place.width, place.height);
    context.drawImage(small, place.left, place.top, place.width, place.height);
    this.canvas.setAttribute('aria-label', `${data.label} by ${data.yLabel} and ${data.xLabel}: ${number(10 ** this.low, 2)} (dark) to ${number(10 ** this.high, 2)} (light)`);
    this.#legend();
  }

  #legend(text = '') {
    const ramp = make('canvas', { class: 'ramp', width: 120, height: 1, 'aria-hidden': 'true' });
    const context = ramp.getContext('2d');
    for (let i = 0; i < 120; i++) { context.fillStyle = colour(i / 119); context.fillRect(i, 0, 1, 1); }
    this.bar.replaceChildren(
      make('span', { class: 'row' }, number(10 ** this.low, 2), ramp, number(10 ** this.high, 2), ` ${this.#data.label}`),
      make('span', {}, text || 'blank: no sample seen'),
    );
  }

  #read(event) {
    const { values, x, yEdges } = this.#data;
    const u = (event.offsetX - this.place.left) / this.place.width, v = (event.offsetY - this.place.top) / this.place.height;
    if (u < 0 || u > 1 || v < 0 || v > 1) { this.#legend(); return; }
    const step = x[0] + u * (x.at(-1) - x[0]);
    let k = 0;
    while (k < x.length - 1 && x[k] < step) k++;
    const at = level(yEdges, yEdges.at(-1) - v * (yEdges.at(-1) - yEdges[0]));
    this.#legend(`step ${x[k].toLocaleString('en')}, log-SNR ${yEdges[at]} to ${yEdges[at + 1]}: ${number(values[k]?.[at])}`);
  }
}

const level = (edges, v) => Math.max(0, Math.min(edges.length - 2, edges.findIndex((e) => e > v) - 1));

customElements.define('demist-heat', Heat);
