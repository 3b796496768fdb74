// <demist-compare>: two pictures under one slider, and their difference. `show({a, b, names})`.
import { make } from '../lib/dom.js';
import { difference } from '../lib/pictures.js';

class Compare extends HTMLElement {
  connectedCallback() {
    if (this.slider) return;
    this.slider = make('input', { type: 'range', min: '0', max: '100', value: '50', 'aria-label': 'Border between the two pictures' });
    this.under = make('div', { class: 'compare-picture' });
    this.over = make('div', { class: 'compare-picture compare-over' });
    this.mark = make('div', { class: 'compare-mark' });
    this.apart = make('figure', { class: 'compare-apart' });
    this.names = make('div', { class: 'row spread small muted' });
    this.slider.addEventListener('input', () => this.cut());
    this.append(make('div', {}, make('div', { class: 'compare-stage' }, this.under, this.over, this.mark), this.slider, this.names), this.apart);
    this.cut();
  }

  cut() {
    this.over.style.clipPath = `inset(0 ${100 - this.slider.value}% 0 0)`;
    this.mark.style.left = `${this.slider.value}%`;
  }

  show({ a, b, names }) {
    const { canvas, rms } = difference(a, b);
    for (const one of [a, b, canvas]) one.className = 'pixels';
    for (const one of [a, b]) one.setAttribute('aria-hidden', 'true');
    this.over.replaceChildren(a);
    this.under.replaceChildren(b);
    this.names.replaceChildren(make('span', {}, `◀ ${names[0]}`), make('span', {}, `${names[1]} ▶`));
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', 'absolute difference of the two');
    const scale = make('span', { class: 'scale', 'aria-hidden': 'true' });
    this.apart.replaceChildren(canvas, make('figcaption', { class: 'small muted' },
      scale, make('span', { class: 'row spread' }, make('span', {}, '0'), make('span', {}, '|difference|'), make('span', {}, '1')),
      make('span', {}, `root mean square ${rms.toPrecision(3)}`)));
    this.dataset.rms = String(rms);
  }
}
customElements.define('demist-compare', Compare);
