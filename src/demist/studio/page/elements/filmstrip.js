// <demist-filmstrip>: every step of a sampling, x_t above and the predicted x0 below; a slider for
// mouse, keys and touch. `show({steps, step, last, kept, key, picture, said, ends})`; says `demist-step`.
import { make } from '../lib/dom.js';

const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 5, PageDown: -5, Home: -1e9, End: 1e9 };

class Filmstrip extends HTMLElement {
  connectedCallback() {
    if (this.track) return;
    this.cells = [];
    this.track = make('div', { class: 'film-track' });
    this.ends = make('p', { class: 'film-ends small muted' });
    this.append(this.ends, make('div', { class: 'film-names small muted', 'aria-hidden': 'true' }, make('span', {}, 'xₜ'), make('span', {}, 'x̂₀')), this.track);
    this.track.setAttribute('role', 'slider');
    this.track.setAttribute('aria-label', 'Step');
    this.track.tabIndex = 0;
    const to = (event) => {
      const box = this.cells[0].getBoundingClientRect(); // which scrolls along
      this.move(Math.floor((event.clientX - box.left) / box.width));
    };
    this.track.addEventListener('pointerdown', (event) => {
      this.track.setPointerCapture(event.pointerId);
      // A finger hides what it is on, so it draws the film along by as much as it moves.
      if (event.pointerType === 'touch') this.drawn = { x: event.clientX, step: this.step };
      else this.held = true;
    });
    this.track.addEventListener('click', to);
    this.track.addEventListener('pointermove', (event) => {
      if (this.held) to(event);
      else if (this.drawn) {
        const each = Math.max(12, this.track.clientWidth / (this.steps + 1));
        this.move(this.drawn.step + Math.round((event.clientX - this.drawn.x) / each));
      }
    });
    for (const name of ['pointerup', 'pointercancel']) this.track.addEventListener(name, () => { this.held = false; this.drawn = null; });
    this.track.addEventListener('keydown', (event) => {
      if (!(event.key in KEYS)) return;
      event.preventDefault();
      this.move(this.step + KEYS[event.key]);
    });
  }

  move(step) {
    const wanted = Math.min(this.last, Math.max(0, step));
    if (wanted !== this.step) this.dispatchEvent(new CustomEvent('demist-step', { detail: wanted, bubbles: true }));
  }

  // `last`: the newest step that is there; `kept`: steps taken over from a parent; with `key` all pictures change;
  // `ends`: what is on the left and on the right.
  show({ steps, step, last, kept = 0, key, picture, said, ends = ['noise', 'data'] }) {
    if (this.ends.dataset.ends !== ends.join()) {
      this.ends.dataset.ends = ends.join();
      this.ends.replaceChildren(make('span', {}, ends[0]), make('i', { 'aria-hidden': 'true' }), make('span', {}, make('span', { class: 'visually-hidden' }, 'to '), ends[1]));
    }
    if (this.key !== key || this.steps !== steps) {
      this.cells = Array.from({ length: steps + 1 }, (_, i) => make('div', { class: `film-cell${kept && i <= kept ? ' kept' : ''}` }, make('span', { class: 'film-number' }, String(i))));
      this.track.replaceChildren(...this.cells);
    }
    Object.assign(this, { steps, step, last, key });
    this.cells.forEach((cell, i) => {
      cell.classList.toggle('here', i === step);
      if (cell.dataset.drawn || i > last) return;
      const both = ['x', 'x0'].map((which) => picture(which, i));
      if (both.some((one) => !one)) return;
      cell.dataset.drawn = 'yes';
      for (const one of both) { one.className = 'pixels'; one.setAttribute('aria-hidden', 'true'); }
      cell.prepend(...both);
    });
    for (const [name, value] of Object.entries({ valuemin: 0, valuemax: steps, valuenow: step, valuetext: said })) this.track.setAttribute(`aria-${name}`, String(value));
    const here = this.cells[step];
    if (here && this.track.scrollWidth > this.track.clientWidth && !this.held) {
      this.track.scrollLeft = here.offsetLeft - this.track.clientWidth / 2 + here.offsetWidth / 2;
    }
  }
}
customElements.define('demist-filmstrip', Filmstrip);
