// <demist-attention>: for each word of a prompt a small heat map, of which part of the picture attends to it.
// `show({trace, step, row})`; says `demist-word` with the canvas of the word that is pointed at, or null.
import { heat, table } from '../lib/colour.js';
import { make } from '../lib/dom.js';
import { blank } from '../lib/pictures.js';

const SCALE = 'viridis';
const percent = (share) => `${(100 * share).toPrecision(2)} %`;

class Attention extends HTMLElement {
  connectedCallback() {
    if (this.list) return;
    this.list = make('div', { class: 'words', role: 'group', 'aria-label': 'Attention to each word' });
    this.most = make('span');
    const bar = blank(128, 1);
    const image = new ImageData(128, 1), colours = table(SCALE);
    for (let i = 0; i < 128; i++) for (let c = 0; c < 4; c++) image.data[4 * i + c] = c < 3 ? colours[6 * i + c] : 255;
    bar.getContext('2d').putImageData(image, 0, 0);
    bar.setAttribute('aria-hidden', 'true');
    this.legend = make('p', { class: 'words-legend small muted' }, make('span', {}, 'Attention to each word:'), make('span', { class: 'words-scale' }, '0', bar, this.most), make('span', {}, 'of all; point at a word to lay it over the picture.'));
    this.none = make('p', { class: 'small muted', hidden: true });
    this.append(this.legend, this.list, this.none);
  }

  // The shares of one word in one step, a view of the trace's numbers.
  numbers(step, row, word) {
    const { data, shape: [, n, words, height, width] } = this.trace.attention;
    const size = height * width, at = ((step * n + row) * words + word) * size;
    return data.subarray(at, at + size);
  }

  show({ trace, step, row }) {
    const asked = Boolean(trace) && trace.facts.words !== undefined;
    this.hidden = !asked;
    if (!asked) return;
    const maps = trace.attention, labels = trace.facts.words[row] ?? [];
    const last = Math.min(step, trace.steps - 1);
    this.legend.hidden = this.list.hidden = !maps;
    this.none.hidden = Boolean(maps);
    if (!maps) {
      this.none.textContent = 'This network takes in the prompt as a whole, so no part of the picture attends to a word of its own.';
      return;
    }
    const [steps, , , height, width] = maps.shape;
    if (this.trace !== trace || this.row !== row) {
      Object.assign(this, { trace, row, top: 0 });
      for (let k = 0; k < steps; k++) for (let i = 0; i < labels.length; i++) for (const v of this.numbers(k, row, i)) if (v > this.top) this.top = v;
      this.most.textContent = percent(this.top);
      this.list.replaceChildren(...labels.map((label, i) => {
        const tell = (on) => { this.pointed = on ? i : null; this.tell(); };
        const canvas = blank(width, height);
        canvas.className = 'pixels';
        canvas.setAttribute('aria-hidden', 'true');
        return make('button', { type: 'button', class: 'word', onpointerenter: () => tell(true), onpointerleave: () => tell(false), onfocus: () => tell(true), onblur: () => tell(false) }, canvas, make('span', {}, label));
      }));
    }
    [...this.list.children].forEach((button, i) => {
      const values = this.numbers(last, row, i);
      button.firstChild.getContext('2d').putImageData(heat(values, width, height, 0, this.top, SCALE), 0, 0);
      const most = Math.max(...values);
      button.setAttribute('aria-label', `${labels[i]}: ${Number.isNaN(most) ? 'not recorded in this step' : `at most ${percent(most)}`}`);
    });
    this.tell();
  }

  tell() {
    const at = this.pointed ?? null;
    this.dispatchEvent(new CustomEvent('demist-word', { detail: at === null ? null : this.list.children[at]?.firstChild ?? null, bubbles: true }));
  }
}
customElements.define('demist-attention', Attention);
