// <demist-words>: the words of a prompt as buttons, each with a map of which places attend to it in this step; the map of
// the chosen one lies over the picture, on the canvas `overlay`. `show({trace, told, step, row, word, flip})`: `told` are
// the words while there is no trace yet, `word` the number of the chosen one or -1; says `demist-word` with that number.
import { heat, table } from '../lib/colour.js';
import { make } from '../lib/dom.js';
import { blank } from '../lib/pictures.js';

const SCALE = 'viridis';
const percent = (share) => `${(100 * share).toPrecision(2)} %`;

class Words extends HTMLElement {
  connectedCallback() {
    if (this.list) return;
    const bar = blank(256, 1), image = new ImageData(256, 1), colours = table(SCALE);
    for (let i = 0; i < 256; i++) for (let c = 0; c < 4; c++) image.data[4 * i + c] = c < 3 ? colours[3 * i + c] : 255;
    bar.getContext('2d').putImageData(image, 0, 0);
    bar.setAttribute('aria-hidden', 'true');
    this.most = make('span', { class: 'words-most' });
    this.list = make('div', { class: 'words', role: 'group', 'aria-label': 'Words of the prompt' });
    this.said = make('p', { class: 'words-said small muted', 'aria-live': 'polite' });
    this.append(
      make('div', { class: 'words-head' }, make('h3', {}, 'Attention to words'), make('p', { class: 'words-scale small muted' }, '0', bar, this.most, make('span', {}, 'share of attention'))),
      this.list, this.said);
  }

  get overlay() { return (this.over ??= make('canvas', { class: 'word-overlay pixels', hidden: true, 'aria-hidden': 'true' })); }

  // The shares of one word in one step, rows from top to bottom.
  shares(step, word) {
    const { data, shape: [, n, words, height, width] } = this.trace.attention;
    const at = ((step * n + this.row) * words + word) * height * width;
    const values = data.subarray(at, at + height * width);
    return this.flip ? Float32Array.from(values, (_, i) => values[(height - 1 - Math.floor(i / width)) * width + (i % width)]) : values;
  }

  show({ trace, told = [], step, row, word, flip = false }) {
    const labels = trace ? (trace.attention ? trace.facts.words[row] : []) : told;
    this.hidden = !labels.length;
    const chosen = word < labels.length ? word : -1;
    const key = `${labels.join(' ')}/${trace?.attention?.shape.slice(3) ?? ''}`;
    if (this.key !== key) { this.key = key; this.build(labels, trace?.attention?.shape.slice(3) ?? [1, 1]); }
    if (this.trace !== trace || this.row !== row) {
      Object.assign(this, { trace, row, flip, top: 0 });
      if (trace?.attention) for (let k = 0; k < trace.steps; k++) for (let i = 0; i < labels.length; i++) for (const v of this.shares(k, i)) if (v > this.top) this.top = v;
      this.most.textContent = trace?.attention ? percent(this.top) : '–';
    }
    [...this.list.children].forEach((button, i) => {
      button.setAttribute('aria-pressed', String(i === chosen));
      button.disabled = !trace;
    });
    this.chosen = chosen;
    this.draw(labels, trace ? Math.min(step, trace.steps - 1) : -1);
  }

  build(labels, [height, width]) {
    this.list.replaceChildren(...labels.map((label, i) => {
      const canvas = blank(width, height);
      canvas.className = 'pixels';
      canvas.setAttribute('aria-hidden', 'true');
      return make('button', { type: 'button', class: 'word', onclick: () => this.dispatchEvent(new CustomEvent('demist-word', { detail: i === this.chosen ? -1 : i, bubbles: true })) }, canvas, make('span', {}, label));
    }));
    Object.assign(this.overlay, { width, height });
  }

  draw(labels, step) {
    const buttons = [...this.list.children];
    this.overlay.hidden = true;
    if (step < 0) { this.said.textContent = 'The maps come with the last step.'; return; }
    const maps = labels.map((_, i) => this.shares(step, i));
    if (!maps.length) return;
    const [height, width] = this.trace.attention.shape.slice(3);
    const there = !Number.isNaN(maps[0][0]);
    maps.forEach((values, i) => {
      const context = buttons[i].firstChild.getContext('2d');
      context.putImageData(heat(values, width, height, 0, this.top, SCALE), 0, 0);
      buttons[i].setAttribute('aria-label', `${labels[i]}: ${there ? `at most ${percent(Math.max(...values))} of attention` : 'not recorded in this step'}`);
    });
    const last = `step ${step}`;
    if (!there) { this.said.textContent = `In ${last} nothing was recorded: it was taken over from a sampling with other words, or without maps.`; return; }
    const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
    const all = maps.reduce((sum, values) => sum + mean(values), 0);
    const rest = `All words together get ${percent(all)} in ${last}; the rest goes to marks of beginning and end, and in some networks to other places.`;
    const what = 'Averaged over heads and layers.';
    if (this.chosen < 0) { this.said.textContent = `Choose a word to lay its map over the prediction. ${rest} ${what}`; return; }
    const values = maps[this.chosen];
    this.overlay.getContext('2d').putImageData(heat(values, width, height, 0, this.top, SCALE), 0, 0);
    this.overlay.hidden = false;
    this.said.textContent = `“${labels[this.chosen]}” gets ${percent(mean(values))} on average and at most ${percent(Math.max(...values))} of what a place attends to. ${rest} ${what}`;
  }
}
customElements.define('demist-words', Words);
