// A brush on the prediction: where the finished picture is kept while the rest is made anew.
import { make, token } from '../../lib/dom.js';

const SIDE = 28;

export class Keep {
  constructor() {
    this.marks = new Uint8Array(SIDE * SIDE);
    this.canvas = make('canvas', { class: 'keep pixels', width: SIDE, height: SIDE, hidden: true, 'aria-label': 'Paint what is kept' });
    this.toggle = make('button', { type: 'button', 'aria-pressed': 'false', onclick: () => this.turn() }, 'Paint a part to keep');
    this.wipe = make('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => this.clear() }, 'Clear');
    this.controls = make('div', { class: 'row' }, this.toggle, this.wipe);
    const paint = (event) => {
      if (!event.buttons) return;
      const box = this.canvas.getBoundingClientRect();
      const [cx, cy] = [(event.clientX - box.left) / box.width * SIDE, (event.clientY - box.top) / box.height * SIDE];
      for (let y = 0; y < SIDE; y++) for (let x = 0; x < SIDE; x++) if (Math.hypot(x + 0.5 - cx, y + 0.5 - cy) < 2.6) this.marks[y * SIDE + x] = event.shiftKey ? 0 : 1;
      this.draw();
    };
    this.canvas.addEventListener('pointerdown', (event) => { this.canvas.setPointerCapture(event.pointerId); paint(event); });
    this.canvas.addEventListener('pointermove', paint);
  }

  get any() { return this.marks.some(Boolean); }

  rows() {
    if (!this.any) return null;
    return Array.from({ length: SIDE }, (_, y) => Array.from(this.marks.slice(y * SIDE, (y + 1) * SIDE), String).join(''));
  }

  turn(on = this.canvas.hidden) {
    this.canvas.hidden = !on;
    this.toggle.setAttribute('aria-pressed', String(on));
    this.draw();
  }

  clear() {
    this.marks.fill(0);
    this.turn(false);
  }

  // What a take kept is painted when it is opened, so that its branches keep it too, or are seen not to.
  follow(take, step, model) {
    this.controls.hidden = model?.kind !== 'images' || !take.trace || take.rising;
    if (!take.trace || this.of === take.id) return;
    this.of = take.id;
    const rows = take.settings.keep ?? [], at = (i, n) => Math.floor((i * n) / SIDE);
    this.marks = this.marks.map((_, i) => Number(rows[at(Math.floor(i / SIDE), rows.length)]?.[at(i % SIDE, rows[0].length)] ?? 0));
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext('2d');
    context.clearRect(0, 0, SIDE, SIDE);
    context.fillStyle = token('--accent');
    this.marks.forEach((on, i) => on && context.fillRect(i % SIDE, Math.floor(i / SIDE), 1, 1));
    this.wipe.hidden = !this.any;
    this.toggle.textContent = this.any ? 'A part is kept' : 'Paint a part to keep';
  }
}
