// Small plots of a trace: <demist-schedule>, <demist-histogram>, <demist-curves>. Each has `show(data)`.
import { axes } from '../lib/axes.js';
import { make, sharp, token, watch } from '../lib/dom.js';

const HEIGHT = 230;
const CUT = 14; // of the log-SNR, which is infinite at both ends

class Plot extends HTMLElement {
  connectedCallback() {
    if (!this.canvas) {
      this.canvas = make('canvas', { role: 'img', 'aria-label': 'no data yet' });
      this.append(this.canvas);
    }
    this.stop = watch(this, () => this.draw());
  }

  disconnectedCallback() { this.stop?.(); }

  show(data) { this.data = data; this.draw(); }

  draw() {
    const width = this.clientWidth;
    if (!width || !this.data || !this.canvas) return;
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${HEIGHT}px` });
    const context = sharp(this.canvas, width, HEIGHT);
    context.clearRect(0, 0, width, HEIGHT);
    this.plot(context, width, HEIGHT, this.data);
  }
}

function line(context, points, colour, { width = 2, dash = [] } = {}) {
  context.save();
  context.beginPath();
  Object.assign(context, { strokeStyle: colour, lineWidth: width, lineJoin: 'round' });
  context.setLineDash(dash);
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  context.restore();
}

function dot(context, x, y, radius, colour) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
}

// log-SNR over time, with the steps of the solver on it. Rows are (t, alpha, sigma).
class Schedule extends Plot {
  plot(context, width, height, { curve, times, step }) {
    const snr = ([, alpha, sigma]) => Math.min(CUT, Math.max(-CUT, 2 * Math.log(alpha / sigma)));
    const place = axes(context, width, height, {
      x: { low: 1, high: 0, label: 'time t: noise to data', ticks: [1, 0.75, 0.5, 0.25, 0] },
      y: { low: -CUT, high: CUT, label: 'log-SNR', ticks: [-12, -6, 0, 6, 12] },
    });
    line(context, curve.map((row) => [place.x(row[0]), place.y(snr(row))]), token('--plot-1'));
    times.forEach((row, i) => {
      const colour = i === step ? '--accent' : i < step ? '--plot-1' : '--line-strong';
      dot(context, place.x(row[0]), place.y(snr(row)), i === step ? 7 : 3.5, token('--surface'));
      dot(context, place.x(row[0]), place.y(snr(row)), i === step ? 5.5 : 2.5, token(colour));
    });
    this.canvas.setAttribute('aria-label', `log signal-to-noise ratio over time; step ${step} of ${times.length - 1} lies at time ${times[step]?.[0].toFixed(3)}`);
  }
}
customElements.define('demist-schedule', Schedule);

// How dense the numbers of x_t lie where, against the standard normal density.
class Histogram extends Plot {
  plot(context, width, height, { numbers }) {
    if (!numbers.length) {
      context.fillStyle = token('--muted');
      context.font = `13px ${token('--font')}`;
      context.textAlign = 'center';
      context.fillText('comes with the last step', width / 2, height / 2);
      return;
    }
    const low = -4, high = 4, bins = 40, top = 0.8, size = (high - low) / bins;
    const counts = new Float64Array(bins);
    for (const v of numbers) counts[Math.min(bins - 1, Math.max(0, Math.floor((v - low) / size)))] += 1 / (numbers.length * size);
    const place = axes(context, width, height, {
      x: { low, high, label: 'value of xₜ', ticks: [-4, -2, 0, 2, 4] },
      y: { low: 0, high: top, label: 'density', ticks: [0, 0.2, 0.4, 0.6, 0.8] },
    });
    context.globalAlpha = 0.6;
    counts.forEach((c, i) => {
      const y = place.y(Math.min(top, c));
      context.fillStyle = token('--plot-1');
      context.fillRect(place.x(low + i * size) + 0.5, y, place.width / bins - 1, place.top + place.height - y);
    });
    context.globalAlpha = 1;
    const normal = Array.from({ length: 97 }, (_, i) => low + (i / 96) * (high - low));
    line(context, normal.map((v) => [place.x(v), place.y(Math.exp(-v * v / 2) / Math.sqrt(2 * Math.PI))]), token('--plot-2'));
    const above = counts.filter((c) => c > top).length;
    context.fillStyle = token('--muted');
    context.font = `11px ${token('--font')}`;
    context.textAlign = 'right';
    if (above) context.fillText(`${above} higher: ${Math.max(...counts).toFixed(1)}`, place.left + place.width - 4, place.top + 14);
    this.canvas.setAttribute('aria-label', `histogram of the ${numbers.length} numbers of the state against the standard normal density`);
  }
}
customElements.define('demist-histogram', Histogram);

// Lengths of x_t, x0 and the noise, and how much the prediction changed, step by step.
class Curves extends Plot {
  plot(context, width, height, { lines, steps, step }) {
    const values = lines.flatMap((one) => [...one.values]).filter(Number.isFinite);
    const place = axes(context, width, height, {
      x: { low: 0, high: Math.max(1, steps), label: 'step', format: (v) => (Number.isInteger(v) ? String(v) : '') },
      y: { low: 0, high: 1.08 * Math.max(1, ...values), label: 'root mean square' },
    });
    line(context, [[place.x(step), place.top], [place.x(step), place.top + place.height]], token('--line-strong'), { width: 1 });
    for (const { values: row, colour, dash } of lines) {
      line(context, row.map((v, i) => [place.x(i), place.y(v)]).filter(([, y]) => Number.isFinite(y)), token(colour), { dash });
      if (Number.isFinite(row[step])) dot(context, place.x(step), place.y(row[step]), 4, token(colour));
    }
    this.canvas.setAttribute('aria-label', `${lines.map(({ name, values: row }) => `${name} ${row[step]?.toFixed(3) ?? '–'}`).join(', ')} at step ${step}`);
  }
}
customElements.define('demist-curves', Curves);
