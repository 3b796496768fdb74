// <demist-strip>: pictures of one thing over time, to be scrubbed or played. Set
// `.data = {items: [{label, url}], what}`; the arrow keys move, space plays.
import { make, still } from '../lib/dom.js';

export class Strip extends HTMLElement {
  #items = [];
  #at = -1; // the newest
  #timer = 0;

  connectedCallback() {
    if (this.picture) return;
    this.picture = make('img', { alt: '', class: 'big' });
    this.caption = make('p', { class: 'small muted' });
    this.range = make('input', { type: 'range', min: '0', step: '1', oninput: () => { this.stop(); this.show(Number(this.range.value)); } });
    this.button = make('button', { type: 'button', onclick: () => (this.#timer ? this.stop() : this.play()) }, 'Play');
    this.append(make('figure', { class: 'stage' }, this.picture), make('div', { class: 'row scrub' }, this.button, this.range), this.caption);
    this.#fill();
  }

  disconnectedCallback() { this.stop(); }

  set data({ items, what }) {
    const last = this.#at === this.#items.length - 1;
    this.#items = items;
    this.what = what;
    if (last || this.#at >= items.length) this.#at = items.length - 1;
    if (this.picture) this.#fill();
  }

  #fill() {
    if (!this.#items.length) return;
    this.range.max = this.#items.length - 1;
    this.range.setAttribute('aria-label', this.what);
    this.button.disabled = this.#items.length < 2;
    this.show(this.#at < 0 ? this.#items.length - 1 : this.#at);
  }

  async show(i) {
    const item = this.#items[(this.#at = i)];
    this.range.value = i;
    this.range.setAttribute('aria-valuetext', item.label);
    this.caption.textContent = item.label;
    const loader = new Image(); // the old picture stays until the new one is there: nothing jumps
    loader.src = item.url;
    try { await loader.decode(); } catch { return; }
    if (this.#at !== i) return;
    this.picture.src = item.url;
    this.picture.classList.toggle('pixels', loader.naturalWidth < 240); // small ones are enlarged, not blurred
    this.picture.alt = `${this.what}, ${item.label}`;
  }

  async play() {
    if (this.#at >= this.#items.length - 1) await this.show(0);
    this.button.textContent = 'Pause';
    const beat = still() ? 1200 : Math.max(120, Math.min(600, 6000 / this.#items.length));
    this.#timer = setInterval(async () => {
      if (this.#at >= this.#items.length - 1) this.stop();
      else await this.show(this.#at + 1);
    }, beat);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    if (this.button) this.button.textContent = 'Play';
  }
}

customElements.define('demist-strip', Strip);
