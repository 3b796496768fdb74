// <demist-mask>: a picture, and a mask painted over it. Brush, eraser, lasso, rectangle and hand; undo for
// each stroke; zoom and pan by wheel, keys, buttons and two fingers; before and after under one border. Knows
// no server: `open(picture)`, `mask`, `load(data)`; says `demist-mask`, `demist-tool` and `demist-view`.
import { make, sharp, token, watch } from '../lib/dom.js';
import { cut, fill, paste, rectangle, stroke } from '../lib/mask.js';
import { blank } from '../lib/pictures.js';

export const TOOLS = { brush: 'b', eraser: 'e', lasso: 'l', rectangle: 'r', hand: 'h' };
const MOST = 64 * 2 ** 20; // bytes that undo keeps
const NONE = { left: 0, right: 0, top: 0, bottom: 0 };

class MaskCanvas extends HTMLElement {
  connectedCallback() {
    this.unwatch = watch(this, () => { if (this.fitted) this.fit(); this.tint(); this.later(); });
    if (this.canvas) return;
    Object.assign(this, { tool: 'brush', size: 6, hardness: 1, editable: true, view: 'mask', border: 0.5, margins: NONE, pointers: new Map(), done: [], undone: [] });
    this.canvas = make('canvas', { 'aria-hidden': 'true' });
    this.append(this.canvas);
    this.addEventListener('pointerdown', (event) => this.down(event));
    this.addEventListener('pointermove', (event) => this.moved(event));
    for (const name of ['pointerup', 'pointercancel']) this.addEventListener(name, (event) => this.up(event, name === 'pointercancel'));
    this.addEventListener('pointerleave', () => { this.cursor = null; this.later(); });
    this.addEventListener('wheel', (event) => {
      if (!this.picture) return;
      event.preventDefault();
      const box = this.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), [event.clientX - box.left, event.clientY - box.top]);
    }, { passive: false });
  }

  disconnectedCallback() { this.unwatch?.(); }

  // Another picture (a canvas), with an empty mask; `keep`: the mask stays if the size is the same.
  open(picture, keep = false) {
    const same = keep && this.picture && picture.width === this.picture.width && picture.height === this.picture.height;
    this.picture = picture;
    this.after = null;
    if (!same) {
      this.mask = { data: new Uint8Array(picture.width * picture.height), width: picture.width, height: picture.height };
      this.layer = blank(picture.width, picture.height);
      Object.assign(this, { done: [], undone: [], shown: null });
      this.fit();
    }
    this.tint();
    this.tell();
  }

  // The size of what is drawn: the picture, and what goes on beyond its edges.
  get extent() {
    const { left, right, top, bottom } = this.margins;
    return { width: this.picture.width + left + right, height: this.picture.height + top + bottom };
  }

  set(changes) {
    const wider = 'margins' in changes;
    Object.assign(this, changes);
    if (wider && this.picture) this.fit();
    this.later();
  }

  // --- the mask

  // `version` counts the masks, for those who compute something of them.
  tell() { this.version = (this.version ?? 0) + 1; this.dispatchEvent(new CustomEvent('demist-mask')); this.later(); }

  // Do something to the mask that can be undone; `change` gives the box that it changed.
  edit(change) {
    const before = this.mask.data.slice();
    this.commit(before, change());
  }

  commit(before, box) {
    if (!box) return;
    const old = cut({ data: before, width: this.mask.width }, box), now = cut(this.mask, box);
    if (old.some((v, i) => v !== now[i])) {
      this.done.push({ box, old, now });
      this.undone = [];
      let bytes = this.done.reduce((sum, one) => sum + 2 * one.old.length, 0);
      while (bytes > MOST && this.done.length > 1) bytes -= 2 * this.done.shift().old.length;
    }
    this.tint(box);
    this.tell();
  }

  undo() { this.step(this.done, this.undone, 'old'); }

  redo() { this.step(this.undone, this.done, 'now'); }

  step(from, to, which) {
    const one = from.pop();
    if (!one) return;
    to.push(one);
    paste(this.mask, one.box, one[which]);
    this.tint(one.box);
    this.tell();
  }

  get whole() { return { x: 0, y: 0, width: this.mask.width, height: this.mask.height }; }

  invert() { this.edit(() => { const { data } = this.mask; for (let i = 0; i < data.length; i++) data[i] = 255 - data[i]; return this.whole; }); }

  clear() { this.edit(() => { this.mask.data.fill(0); return this.whole; }); }

  load(data) { this.edit(() => { this.mask.data.set(data); return this.whole; }); }

  box(box, value = 255) {
    let found = null;
    this.edit(() => { found = rectangle(this.mask, box, value); return found; });
    return found;
  }

  // The mask as a canvas, white where all is made anew.
  grey() {
    const { data, width, height } = this.mask, canvas = blank(width, height), image = new ImageData(width, height);
    for (let i = 0; i < data.length; i++) image.data.set([data[i], data[i], data[i], 255], 4 * i);
    canvas.getContext('2d').putImageData(image, 0, 0);
    return canvas;
  }

  // The mask as colour over the picture.
  tint(box = this.mask && this.whole) {
    if (!this.mask) return;
    const image = new ImageData(box.width, box.height), part = cut(this.mask, box), [r, g, b] = colour();
    for (let i = 0; i < part.length; i++) image.data.set([r, g, b, part[i] * 0.72], 4 * i);
    this.layer.getContext('2d').putImageData(image, box.x, box.y);
  }

  // --- what the pointers do

  at(event) {
    const box = this.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  pixel([x, y]) { return [(x - this.left) / this.scale - this.margins.left, (y - this.top) / this.scale - this.margins.top]; }

  down(event) {
    if (!this.picture || event.button > 1) return;
    event.preventDefault();
    this.focus({ preventScroll: true });
    this.setPointerCapture(event.pointerId);
    const at = this.at(event);
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size === 2) { this.drop(); return; }
    if (this.pointers.size > 2) return;
    if (event.button === 1 || this.tool === 'hand' || this.space) this.drag = { what: 'pan' };
    else if (this.view === 'compare') { this.drag = { what: 'border' }; this.cutAt(at); }
    else if (this.editable && this.view === 'mask') {
      const point = this.pixel(at);
      this.drag = { what: this.tool, before: this.mask.data.slice(), points: [point], erase: event.shiftKey || this.tool === 'eraser', box: null };
      if (this.tool === 'brush' || this.tool === 'eraser') this.paint(point);
    } else this.drag = { what: 'pan' };
    this.later();
  }

  moved(event) {
    if (!this.picture) return;
    const at = this.at(event), before = this.pointers.get(event.pointerId);
    this.cursor = at;
    if (before && this.pointers.size === 2) this.pinch(event.pointerId, at);
    if (before) this.pointers.set(event.pointerId, at);
    if (!before || this.pointers.size !== 1 || !this.drag) { this.later(); return; }
    if (this.drag.what === 'pan') { this.pan(at[0] - before[0], at[1] - before[1]); return; }
    if (this.drag.what === 'border') { this.cutAt(at); return; }
    for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const point = this.pixel(this.at(one));
      if (this.drag.what === 'rectangle') this.drag.points[1] = point;
      else if (this.drag.what === 'lasso') this.drag.points.push(point);
      else this.paint(point);
    }
    this.later();
  }

  up(event, lost) {
    this.pointers.delete(event.pointerId);
    const { drag } = this;
    if (!drag || this.pointers.size) return;
    if (lost) { this.drop(); return; }
    this.drag = null;
    const value = drag.erase ? 0 : 255;
    if (drag.what === 'lasso') drag.box = fill(this.mask, drag.points, value);
    if (drag.what === 'rectangle') drag.box = rectangle(this.mask, corners(drag.points), value);
    if (drag.before) this.commit(drag.before, drag.box);
    this.later();
  }

  // A second finger came: what the first one drew was not meant.
  drop() {
    if (this.drag?.before) { this.mask.data.set(this.drag.before); this.tint(); }
    this.drag = null;
    this.later();
  }

  paint(point) {
    const { drag } = this;
    const box = stroke(this.mask, drag.points.at(-1), point, { radius: this.size / 2, hardness: this.hardness, erase: drag.erase });
    drag.points = [point];
    if (!box) return;
    this.tint(box);
    drag.box = drag.box ? union(drag.box, box) : box;
  }

  pinch(id, at) {
    const other = [...this.pointers].find(([key]) => key !== id)[1], before = this.pointers.get(id);
    const long = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]), middle = (p) => [(p[0] + other[0]) / 2, (p[1] + other[1]) / 2];
    const [was, now] = [middle(before), middle(at)];
    this.pan(now[0] - was[0], now[1] - was[1]);
    this.zoom(long(at) / Math.max(1, long(before)), now);
  }

  cutAt([x]) {
    this.border = Math.min(1, Math.max(0, (x - this.left) / (this.scale * this.extent.width)));
    this.dispatchEvent(new CustomEvent('demist-border'));
    this.later();
  }

  // --- where one looks

  fit() {
    if (!this.picture || !this.clientWidth) return;
    const { width, height } = this.extent, room = 32;
    this.scale = Math.min((this.clientWidth - room) / width, (this.clientHeight - room) / height);
    this.left = (this.clientWidth - width * this.scale) / 2;
    this.top = (this.clientHeight - height * this.scale) / 2;
    this.fitted = true;
    this.looked();
  }

  zoom(by, at = [this.clientWidth / 2, this.clientHeight / 2]) {
    if (!this.picture) return;
    const { width, height } = this.extent, smallest = 24 / Math.max(width, height);
    const next = Math.min(Math.max(this.scale * by, Math.min(smallest, this.scale)), 96);
    this.left = at[0] - (at[0] - this.left) * next / this.scale;
    this.top = at[1] - (at[1] - this.top) * next / this.scale;
    this.scale = next;
    this.fitted = false;
    this.pan(0, 0);
  }

  pan(dx, dy) {
    const { width, height } = this.extent, room = 48; // some of the picture stays in sight
    this.left = Math.min(this.clientWidth - room, Math.max(room - width * this.scale, this.left + dx));
    this.top = Math.min(this.clientHeight - room, Math.max(room - height * this.scale, this.top + dy));
    if (dx || dy) this.fitted = false;
    this.looked();
  }

  looked() { this.dispatchEvent(new CustomEvent('demist-view')); this.later(); }

  later() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => { this.due = 0; this.draw(); });
  }

  draw() {
    if (!this.clientWidth) return;
    const context = sharp(this.canvas, this.clientWidth, this.clientHeight);
    context.clearRect(0, 0, this.clientWidth, this.clientHeight);
    if (!this.picture) return;
    if (!this.scale) this.fit();
    const { width, height } = this.extent, { scale, left, top, margins } = this;
    const [w, h] = [width * scale, height * scale];
    context.imageSmoothingEnabled = scale * (window.devicePixelRatio || 1) < 1;
    const place = [left + margins.left * scale, top + margins.top * scale, this.picture.width * scale, this.picture.height * scale];
    const before = () => { if (!(this.shown && this.view === 'mask') && (w > place[2] || h > place[3])) hatch(context, left, top, w, h); context.drawImage(this.picture, ...place); };
    if (this.view === 'mask' || !this.after) {
      before();
      if (this.view === 'mask') this.drawMask(context, place);
    } else if (this.view === 'result') context.drawImage(this.after, left, top, w, h);
    else {
      before();
      const x = left + this.border * w;
      context.save();
      context.beginPath();
      context.rect(x, top, left + w - x, h);
      context.clip();
      context.drawImage(this.after, left, top, w, h);
      context.restore();
      grip(context, x, Math.max(0, top), Math.min(this.clientHeight, top + h));
    }
    context.strokeStyle = token('--line-strong');
    context.lineWidth = 1;
    context.strokeRect(left - 0.5, top - 0.5, w + 1, h + 1);
    this.drawTool(context);
  }

  drawMask(context, place) {
    if (!this.shown) { if (this.editable) context.drawImage(this.layer, ...place); return; }
    // As the network sees it: whole places of its state, within the window that it is shown.
    const { values, width, height, window } = this.shown, { scale, left, top } = this;
    const [cw, ch] = [window.width * scale / width, window.height * scale / height], [r, g, b] = colour();
    const [x0, y0] = [left + window.x * scale, top + window.y * scale];
    values.forEach((value, i) => {
      if (!value) return;
      context.fillStyle = `rgb(${r} ${g} ${b} / ${0.72 * value})`;
      context.fillRect(x0 + (i % width) * cw, y0 + Math.floor(i / width) * ch, cw + 0.3, ch + 0.3);
    });
    context.strokeStyle = `rgb(${r} ${g} ${b} / .35)`;
    context.lineWidth = 1;
    context.beginPath();
    if (Math.min(cw, ch) > 6) {
      for (let i = 0; i <= width; i++) { context.moveTo(x0 + i * cw, y0); context.lineTo(x0 + i * cw, y0 + height * ch); }
      for (let i = 0; i <= height; i++) { context.moveTo(x0, y0 + i * ch); context.lineTo(x0 + width * cw, y0 + i * ch); }
    } else context.rect(x0, y0, width * cw, height * ch);
    context.stroke();
  }

  drawTool(context) {
    const { drag, cursor } = this, point = ([x, y]) => [this.left + (x + this.margins.left) * this.scale, this.top + (y + this.margins.top) * this.scale];
    const both = (path) => {
      for (const [style, width] of [['rgb(0 0 0 / .7)', 3], ['#fff', 1.5]]) {
        context.strokeStyle = style;
        context.lineWidth = width;
        context.beginPath();
        path();
        context.stroke();
      }
    };
    if (drag?.what === 'lasso') both(() => drag.points.forEach((p, i) => context[i ? 'lineTo' : 'moveTo'](...point(p))));
    else if (drag?.what === 'rectangle' && drag.points[1]) {
      const box = corners(drag.points), [x, y] = point([box.x, box.y]);
      both(() => context.rect(x, y, box.width * this.scale, box.height * this.scale));
    } else if (cursor && this.editable && this.view === 'mask' && ['brush', 'eraser'].includes(this.tool)) {
      both(() => context.arc(...cursor, Math.max(2, this.size / 2 * this.scale), 0, 7));
    }
  }
}

// Whole pixels between two corners.
function corners([a, b = a]) {
  const [x, y] = [Math.floor(Math.min(a[0], b[0])), Math.floor(Math.min(a[1], b[1]))];
  return { x, y, width: Math.ceil(Math.max(a[0], b[0])) - x, height: Math.ceil(Math.max(a[1], b[1])) - y };
}

function union(a, b) {
  const [x, y] = [Math.min(a.x, b.x), Math.min(a.y, b.y)];
  return { x, y, width: Math.max(a.x + a.width, b.x + b.width) - x, height: Math.max(a.y + a.height, b.y + b.height) - y };
}

const colour = () => (/^#(..)(..)(..)$/.exec(token('--mask')) ?? []).slice(1).map((part) => parseInt(part, 16));

// Where nothing is yet: the mask's colour, with a hatching.
function hatch(context, left, top, width, height) {
  const [r, g, b] = colour();
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.fillStyle = `rgb(${r} ${g} ${b} / .16)`;
  context.fillRect(left, top, width, height);
  context.strokeStyle = `rgb(${r} ${g} ${b} / .6)`;
  context.lineWidth = 1.5;
  context.beginPath();
  for (let x = left - height; x < left + width; x += 10) { context.moveTo(x, top + height); context.lineTo(x + height, top); }
  context.stroke();
  context.restore();
}

function grip(context, x, top, bottom) {
  const middle = (top + bottom) / 2;
  context.fillStyle = 'rgb(0 0 0 / .45)';
  context.fillRect(x - 2, top, 4, bottom - top);
  context.fillStyle = '#fff';
  context.fillRect(x - 1, top, 2, bottom - top);
  context.beginPath();
  context.arc(x, middle, 14, 0, 7);
  context.fill();
  context.fillStyle = '#182024';
  for (const side of [-1, 1]) {
    context.beginPath();
    context.moveTo(x + side * 9, middle);
    context.lineTo(x + side * 3, middle - 5);
    context.lineTo(x + side * 3, middle + 5);
    context.fill();
  }
}

customElements.define('demist-mask', MaskCanvas);
