// <demist-warned>: what a job warns of, in words, beside it. `follow(job)`: its id, or nothing.
import { events, get } from '../lib/api.js';
import { make } from '../lib/dom.js';

class Warned extends HTMLElement {
  connectedCallback() {
    this.setAttribute('role', 'status');
    this.stop ??= events((event) => {
      if (event.type === 'warned' && event.job === this.job) this.add([event.message]);
      if (event.type === 'reset') this.read();
    });
    this.read();
  }

  disconnectedCallback() { this.stop?.(); this.stop = null; }

  follow(job = '') {
    if (job === (this.job ?? '')) return;
    this.job = job;
    this.told = new Set();
    this.replaceChildren();
    this.read();
  }

  // What it warned of before anybody looked.
  read() {
    const { job } = this;
    if (job && this.isConnected) get(`/api/jobs/${job}`).then(({ warnings = [] }) => { if (job === this.job) this.add(warnings); }, () => {});
  }

  add(messages) {
    for (const text of messages) {
      if (this.told.has(text)) continue;
      this.told.add(text);
      this.append(make('p', { class: 'note warn small' }, `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`));
    }
  }
}
customElements.define('demist-warned', Warned);
