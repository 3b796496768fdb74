// The results of an edit: a strip of variants while they come and when they are there, what the
// program understood, and the command that makes the same.
import '../../elements/warned.js';
import { OVER, file, get, latest, post } from '../../lib/api.js';
import { duration, make, say } from '../../lib/dom.js';

export class Job {
  constructor({ id, settings, state = 'queued' }) {
    Object.assign(this, { id, settings, state, about: null, step: 0, of: 0, seconds: 0, message: '', versions: {} });
  }

  get over() { return OVER.includes(this.state); }

  get n() { return this.settings.n ?? 4; }

  // The address of variant k, from 1: the result, or the newest preview; null: there is none yet.
  url(k) {
    if (this.state === 'done' && this.about) return file(this.id, this.about.files[k - 1]);
    const version = this.versions[`now-${k}.png`];
    return version === undefined ? null : file(this.id, `now-${k}.png`, version);
  }

  async heard(event) {
    if (event.type === 'preview') this.versions[event.name] = event.version;
    if (event.type === 'state') {
      Object.assign(this, { state: event.state, message: event.message ?? '' });
      for (const name of event.files ?? []) if (name.startsWith('now-')) this.versions[name] ??= 0;
      Object.assign(this.versions, event.previews);
    }
    if (event.step !== undefined) {
      Object.assign(this, { step: event.step, of: event.of, seconds: event.seconds });
      if (event.facts?.files) this.about = event.facts;
      if (event.type === 'step') this.state = 'running';
    }
    if (event.type === 'started') Object.assign(this, { state: 'running', message: '' });
    if (OVER.includes(event.type)) Object.assign(this, { state: event.type, message: event.message ?? '' });
    if (this.state === 'done' && !this.settled) {
      this.settled = true;
      this.about = await get(file(this.id, 'about.json'));
    }
  }
}

export class Variants {
  // `onpick(k)`: a variant is looked at; `onedit(k)`: it is edited further.
  constructor({ onpick, onedit }) {
    Object.assign(this, { onpick, cells: [] });
    this.status = make('div', { class: 'row status' });
    this.strip = make('div', { class: 'variants', role: 'radiogroup', 'aria-label': 'Variants' });
    this.strip.addEventListener('keydown', (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const next = (this.picked - 1 + by + this.cells.length) % this.cells.length;
      onpick(next + 1);
      this.cells[next].focus();
    });
    this.on = make('button', { type: 'button', class: 'go-on', onclick: () => onedit(this.picked) }, 'Go on from this one');
    this.keep = make('a', { class: 'button', download: '' }, 'Save as PNG');
    this.said = make('ul', { class: 'said small' });
    this.code = make('pre', { class: 'code', tabindex: '0', 'aria-label': 'Command' });
    const copy = make('button', { type: 'button', onclick: () => this.copy() }, 'Copy as command line');
    this.under = make('div', { class: 'stack tight' }, this.said, make('div', { class: 'edit-command' }, this.code, copy));
    this.card = make('section', { class: 'card results', hidden: true }, make('div', { class: 'row spread title' }, make('h2', {}, 'Variants'), make('div', { class: 'row' }, this.on, this.keep)), this.status, this.warned = make('demist-warned'), this.strip, this.under);
  }

  async copy() {
    try { await navigator.clipboard.writeText(this.code.textContent); say('Copied: it makes the same pixels.'); } catch { getSelection().selectAllChildren(this.code); }
  }

  show(job, picked) {
    this.card.hidden = !job;
    this.warned.follow(job?.id);
    if (!job) return;
    this.picked = picked;
    if (this.job !== job.id || this.cells.length !== job.n) {
      this.job = job.id;
      this.cells = Array.from({ length: job.n }, (_, i) => {
        const image = make('img', { alt: '', class: 'pixels', hidden: true });
        const cell = make('button', { type: 'button', role: 'radio', 'aria-label': `Variant ${i + 1}`, onclick: () => this.onpick(i + 1) }, make('span', { class: 'frame' }, image), make('span', { class: 'small muted' }, `seed ${(job.settings.seed ?? 0) + i}`));
        cell.image = image;
        cell.load = latest(async (url) => {
          const loader = new Image(); // the old picture stays until the new one is there
          loader.src = url;
          await loader.decode();
          image.src = url;
          image.hidden = false;
          image.classList.toggle('pixels', loader.naturalWidth < 240);
          cell.dataset.url = url;
        });
        return cell;
      });
      this.strip.replaceChildren(...this.cells);
    }
    this.cells.forEach((cell, i) => {
      const url = job.url(i + 1);
      if (url && cell.asked !== url) { cell.asked = url; cell.load(url); }
      cell.setAttribute('aria-checked', String(i + 1 === picked));
      cell.tabIndex = i + 1 === picked || (!picked && !i) ? 0 : -1;
    });
    Object.assign(this.card.dataset, { state: job.state, job: job.id });
    this.drawStatus(job);
    const done = job.state === 'done' && job.about && picked > 0;
    this.on.disabled = !done;
    if (done) this.keep.href = job.url(picked);
    else this.keep.removeAttribute('href');
    this.keep.setAttribute('aria-disabled', String(!done));
    this.keep.download = job.about ? `${job.id}-${job.about.files[Math.max(0, picked - 1)]}` : '';
    const said = job.about?.said ?? [];
    this.said.hidden = !said.length;
    if (this.said.dataset.key !== said.join()) { this.said.dataset.key = said.join(); this.said.replaceChildren(...said.map((text) => make('li', {}, `${text[0].toUpperCase()}${text.slice(1)}.`))); }
    this.under.hidden = !job.about;
    if (this.code.textContent !== (job.about?.command ?? '')) this.code.textContent = job.about?.command ?? '';
  }

  drawStatus(job) {
    const running = !job.over, left = job.step ? job.seconds / job.step * (job.of - job.step) : NaN;
    if (!this.bar) {
      this.badge = make('span', {});
      this.bar = make('progress', { class: 'bar', 'aria-label': 'Progress' });
      this.cancel = make('button', { type: 'button', class: 'cancel' }, 'Cancel');
      this.status.replaceChildren(this.badge, this.bar, this.cancel);
    }
    this.badge.className = `badge ${job.state}`;
    this.badge.textContent = running && job.of ? `step ${job.step} of ${job.of}` : job.state === 'done' ? `done in ${duration(job.seconds)}` : [job.state, job.message].filter(Boolean).join(': ');
    if (running && Number.isFinite(left) && left > 2) this.badge.textContent += `, ${duration(left)} left`;
    this.bar.max = job.of || 1;
    this.bar.value = job.state === 'done' ? job.of || 1 : job.step;
    this.bar.style.visibility = this.cancel.style.visibility = running ? 'visible' : 'hidden';
    this.cancel.onclick = () => post(`/api/jobs/${job.id}/cancel`).catch((error) => say(error.message, 'bad'));
  }
}
