// Axes for canvases: round ticks, labels with units, and the way from numbers to pixels.
import { token } from './dom.js';

// About `count` round numbers from low to high.
export function ticks(low, high, count = 5) {
  if (!(high > low)) return [low];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// Powers of ten, with 2 and 5 between where there are few.
export function powers(low, high) {
  const found = [];
  const few = Math.log10(high / low) < 2;
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
    for (const m of few ? [1, 2, 5] : [1]) if (m * 10 ** p >= low * 0.999 && m * 10 ** p <= high * 1.001) found.push(m * 10 ** p);
  }
  return found;
}

export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  if (size !== 0 && size < 1e-4) return value.toExponential(0).replace('e-', 'e−');
  return String(Number(value.toPrecision(4))).replace('-', '−');
}

// An axis: {low, high, label, log}. Returns {x, y, left, top, width, height} with x(v), y(v) in pixels.
export function axes(context, width, height, { x, y, grid = true, margin = {} }) {
  context.save();
  context.font = `12px ${token('--font')}`;
  const room = Math.max(1, height - (margin.top ?? 10) - (margin.bottom ?? 42));
  const ys = y.ticks ?? (y.log ? powers(y.low, y.high) : ticks(y.low, y.high, Math.max(2, Math.floor(room / 44))));
  const widest = Math.max(...ys.map((v) => context.measureText((y.format ?? short)(v)).width), 0);
  const left = margin.left ?? Math.max(48, Math.ceil(widest) + 32), right = margin.right ?? 12, top = margin.top ?? 10, bottom = margin.bottom ?? 42;
  const w = Math.max(1, width - left - right), h = Math.max(1, height - top - bottom);
  const along = (axis, v) => (axis.log
    ? Math.log(v / axis.low) / Math.log(axis.high / axis.low)
    : (v - axis.low) / (axis.high - axis.low || 1));
  const place = { left, top, width: w, height: h, x: (v) => left + w * along(x, v), y: (v) => top + h * (1 - along(y, v)) };
  context.lineWidth = 1;
  context.strokeStyle = token('--line');
  context.fillStyle = token('--muted');
  const xs = x.ticks ?? (x.log ? powers(x.low, x.high) : ticks(x.low, x.high, Math.max(2, Math.floor(w / 80))));
  context.textAlign = 'center';
  context.textBaseline = 'top';
  for (const v of xs) {
    const at = Math.round(place.x(v)) + 0.5;
    if (grid) stroke(context, at, top, at, top + h);
    const text = (x.format ?? short)(v);
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.min(at, width - half - 1), top + h + 6); // none is cut off at the edge
  }
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (const v of ys) {
    const at = Math.round(place.y(v)) + 0.5;
    if (grid) stroke(context, left, at, left + w, at);
    context.fillText((y.format ?? short)(v), left - 6, at);
  }
  context.strokeStyle = token('--line-strong');
  stroke(context, left, top + h + 0.5, left + w, top + h + 0.5);
  context.textAlign = 'center';
  context.textBaseline = 'bottom';
  context.fillText(x.label ?? '', left + w / 2, height - 2);
  context.translate(12, top + h / 2);
  context.rotate(-Math.PI / 2);
  context.textBaseline = 'middle';
  context.fillText(y.label ?? '', 0, 0);
  context.restore();
  return place;
}

function stroke(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
