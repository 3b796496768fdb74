// Making pictures: a form, a queue, what is being made, and a gallery of all that was.
import '../elements/compare.js';
import '../elements/warned.js';
import { OVER, events, file, get, latest, post, preview } from '../lib/api.js';
import { bounded, duration, make, say } from '../lib/dom.js';
import { read, write } from '../lib/state.js';
import { Dropped } from './generate/dropped.js';
import { Form, STANDARD, countOf } from './generate/form.js';
import { Gallery, Viewer, image } from './generate/gallery.js';
import { QueueCard, described } from './generate/queue.js';

// The comparison looks as on the page Denoise.
if (!document.querySelector('link[href="/pages/denoise.css"]')) document.head.append(make('link', { rel: 'stylesheet', href: '/pages/denoise.css' }));
const DEFAULTS = { job: '' };

class GeneratePage extends HTMLElement {
  async connectedCallback() {
    this.state = read(DEFAULTS);
    this.jobs = [];
    this.pair = [];
    this.results = bounded(60, (id) => get(file(id, 'result.json')));
    this.build();
    this.stops = [this.dropped.listen(), events((event) => this.heard(event))];
    try {
      await this.reload();
      const models = await get('/api/models');
      this.models = models;
      const schema = await get('/api/schema/generate'); // the worker starts for it, which takes seconds
      this.form.fill(models, schema);
    } catch (error) { say(error.message, 'bad'); }
    this.draw();
  }

  disconnectedCallback() { for (const stop of this.stops ?? []) stop(); this.viewer.dialog.remove(); }

  build() {
    this.form = new Form(() => this.make());
    this.queue = new QueueCard();
    this.dropped = new Dropped(this.form);
    this.gallery = new Gallery({ onopen: (one, gallery) => this.viewer.open(one, gallery), oncompare: (one) => this.compare(one) });
    this.gallery.onchange = () => this.reload();
    this.viewer = new Viewer({ onuse: (one, seed) => this.use(one, seed), oncompare: (one) => this.compare(one) });
    this.heading = make('h2', {}, 'Pictures');
    this.told = make('span', { class: 'muted small', 'aria-live': 'polite' });
    this.numbers = make('a', { class: 'button numbers', download: '', hidden: true }, 'Save the numbers');
    this.tiles = make('div', { class: 'now-tiles' });
    this.now = make('section', { class: 'card now', 'data-state': 'none' }, make('div', { class: 'row spread title' }, this.heading, make('div', { class: 'row' }, this.told, this.numbers)), this.warned = make('demist-warned'), this.tiles);
    this.compareBox = make('demist-compare');
    this.compareTold = make('p', { class: 'small muted' });
    this.compareCard = make('section', { class: 'card compare-card', hidden: true }, make('div', { class: 'row spread title' }, make('h2', {}, 'Compare'), make('button', { type: 'button', class: 'quiet', onclick: () => { this.pair = []; this.draw(); } }, 'Clear')), this.compareBox, this.compareTold);
    const open = make('button', { type: 'button', class: 'open-recipe', onclick: () => this.dropped.choose.click() }, 'Open a picture …');
    this.replaceChildren(
      make('div', { class: 'head' }, make('h1', {}, 'Generate'), make('p', {}, 'Make pictures. Each carries its recipe: drop one here, and the settings that made it come back.'), open, this.dropped.choose),
      make('div', { class: 'workshop' },
        make('aside', { class: 'stack' }, this.form.card),
        make('div', { class: 'stack' }, this.dropped.card, this.queue.card, this.now, this.compareCard, this.gallery.card)),
      this.viewer.dialog);
    this.dropped.choose.tabIndex = -1;
    // A sheet that was on its way while another job was chosen is not shown.
    this.preview = latest(async (event) => {
      const sheet = await createImageBitmap(await preview(event));
      if (event.job === this.job?.id) { this.sheet = sheet; this.drawSheet(); } else sheet.close();
    });
  }

  async reload() {
    const asked = this.asked = (this.asked ?? 0) + 1;
    const [jobs, bin] = await Promise.all([get('/api/jobs'), get('/api/bin')]);
    if (asked !== this.asked) return; // a later answer came first
    Object.assign(this, { jobs, bin });
    this.draw();
  }

  // Several pieces of news are read as one.
  later() {
    clearTimeout(this.due);
    this.due = setTimeout(() => this.isConnected && this.reload().catch((error) => say(error.message, 'bad')), 60);
  }

  heard(event) {
    const job = this.jobs.find((one) => one.id === event.job);
    if (job && OVER.includes(job.state) && ['step', 'preview', 'started'].includes(event.type)) return; // late news of what is over
    if (event.type === 'step' && job) {
      Object.assign(job, { state: 'running', step: event.step, of: event.of, seconds: event.seconds, facts: event.facts });
      if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.drawQueue(); this.drawNow(); });
    } else if (event.type === 'preview') {
      if (event.job === this.job?.id) this.preview(event);
    } else this.later();
  }

  async make() {
    try {
      const settings = this.form.take();
      this.form.changed();
      const { id } = await post('/api/jobs', { kind: 'generate', settings });
      // What waits behind others is not shown before what runs.
      if (!this.job || OVER.includes(this.job.state)) this.show(id);
      await this.reload();
      if (innerWidth <= 960 && !this.queue.card.hidden) this.queue.card.scrollIntoView({ block: 'start' });
    } catch (error) { say(error.message, 'bad'); }
  }

  show(id) {
    if (this.state.job !== id) this.sheet = null;
    this.state.job = id;
    write(this.state, DEFAULTS);
  }

  // The job that is shown: the chosen one while it goes on or nothing newer runs.
  get job() {
    const mine = this.jobs.filter((one) => one.kind === 'generate');
    return mine.find((one) => one.id === this.state.job) ?? mine.findLast((one) => one.state === 'done') ?? null;
  }

  async use(one, seed) {
    try {
      const found = await get(`/api/jobs/${one.job}/pictures/${one.own}/settings`);
      this.form.set(found.settings, { seed });
      for (const text of found.missing) say(text, 'warn');
      this.form.card.scrollIntoView({ block: 'nearest' });
      this.form.button.focus();
    } catch (error) { say(error.message, 'bad'); }
  }

  async compare(one) {
    if (this.pair.length === 2) this.pair = [];
    if (!this.pair.some((p) => p.key === one.key)) this.pair.push(one);
    this.draw();
    this.compareTold.textContent = this.pair.length < 2 ? 'Choose the other picture: open it, or press C on it.' : '';
    this.compareBox.hidden = this.pair.length < 2;
    if (this.pair.length < 2) return;
    try {
      const [a, b] = await Promise.all(this.pair.map(async ({ url }) => createImageBitmap(await (await fetch(url)).blob())));
      const drawn = [a, b].map((bitmap) => {
        const canvas = make('canvas', { width: a.width, height: a.height });
        const context = canvas.getContext('2d');
        context.imageSmoothingEnabled = false;
        context.drawImage(bitmap, 0, 0, a.width, a.height);
        return canvas;
      });
      const name = (p) => `${p.number} of job ${Number(p.job.split('-')[0])}`;
      this.compareBox.show({ a: drawn[0], b: drawn[1], names: this.pair.map(name) });
      this.compareCard.scrollIntoView({ block: 'nearest' });
    } catch (error) { say(error.message, 'bad'); }
  }

  draw() {
    const running = this.jobs.find((one) => one.kind === 'generate' && one.state === 'running');
    if (running && (!this.job || OVER.includes(this.job.state)) && this.job?.id !== running.id) this.show(running.id);
    this.drawQueue();
    this.drawNow();
    this.compareCard.hidden = !this.pair.length;
    this.gallery.show(this.jobs, this.bin, this.pair);
    this.viewer.refresh();
  }

  drawQueue() {
    const done = this.jobs.filter((one) => one.kind === 'generate' && one.facts?.each);
    const rate = (job) => {
      const same = done.findLast((one) => one.settings?.model === job.settings?.model) ?? done.at(-1);
      return same ? same.facts.each / Math.max(1, same.facts.batch) : NaN;
    };
    const work = ({ kind, settings = {} }) => {
      if (kind !== 'generate') return NaN;
      const model = this.models?.find((one) => one.id === settings.model);
      const cells = (settings.grid ?? []).reduce((a, axis) => a * countOf(axis), 1);
      return (settings.steps ?? model?.defaults.steps ?? STANDARD.steps) * (settings.grid?.length ? cells : Number.isInteger(settings.only) ? 1 : settings.n ?? 8);
    };
    this.queue.show(this.jobs, { work, rate });
  }

  drawNow() {
    const { job } = this;
    this.now.dataset.state = job?.state ?? 'none';
    this.now.dataset.job = job?.id ?? '';
    this.warned.follow(job?.id);
    if (!job) {
      this.tiles.replaceChildren(make('p', { class: 'empty' }, 'Press Make: the pictures appear here while they come out of the noise.'));
      return;
    }
    this.heading.textContent = described(job);
    this.numbers.hidden = !(job.files ?? []).includes('samples.npy');
    this.numbers.href = file(job.id, 'samples.npy');
    this.numbers.download = `${job.id}-samples.npy`;
    const seconds = job.state === 'done' && job.seconds ? ` in ${duration(job.seconds)}` : '';
    this.told.textContent = job.state === 'running' ? '' : job.state === 'done' ? `done${seconds}` : `${job.state}${job.message ? `: ${job.message}` : ''}`;
    if (job.state === 'done') this.drawDone(job);
    else {
      const version = job.previews?.['preview.png'];
      if (this.sheetOf !== job.id) { this.sheetOf = job.id; this.sheet = null; this.tiles.replaceChildren(); if (version) this.preview({ job: job.id, name: 'preview.png', version }); }
      this.drawSheet();
    }
  }

  // While it runs: tiles cut from the sheet of predictions, in the places of the pictures to come.
  drawSheet() {
    const { job, sheet } = this;
    if (!job || job.state === 'done') return;
    const kind = this.models?.find((one) => one.id === job.settings?.model)?.kind ?? 'images';
    const n = job.facts?.n ?? (job.settings?.grid?.length ? 0 : Number.isInteger(job.settings?.only) ? 1 : job.settings?.n ?? 0);
    if (kind !== 'images') {
      this.lay(`${job.id}/whole`, 1, () => make('div', { class: 'now-tile whole' }));
      if (sheet) this.tiles.firstChild?.replaceChildren(this.cut(sheet, 0, 0, sheet.width, sheet.height));
      return;
    }
    const columns = job.facts?.columns ?? 0;
    this.lay(`${job.id}/${n}`, n, () => make('div', { class: 'now-tile' }), job.settings?.grid?.length ? columns : 0);
    if (!sheet || !columns || OVER.includes(job.state) && !sheet) return;
    const [width, height] = [sheet.width / columns, sheet.height / Math.ceil(n / columns)];
    this.tilesOnly.forEach((tile, i) => tile.replaceChildren(this.cut(sheet, (i % columns) * width, Math.floor(i / columns) * height, width, height)));
  }

  cut(sheet, x, y, width, height) {
    const canvas = make('canvas', { class: 'pixels', width, height, 'aria-hidden': 'true' });
    canvas.getContext('2d').drawImage(sheet, x, y, width, height, 0, 0, width, height);
    return canvas;
  }

  lay(key, n, one, columns = 0, grid = null) {
    if (this.laid === `${key}/${columns}/${Boolean(grid)}`) return false;
    this.laid = `${key}/${columns}/${Boolean(grid)}`;
    this.tilesOnly = Array.from({ length: n }, (_, i) => one(i));
    this.tiles.className = `now-tiles${columns ? ' as-grid' : ''}`;
    this.tiles.style.gridTemplateColumns = columns ? `max-content repeat(${columns}, minmax(56px, 112px))` : '';
    this.tiles.removeAttribute('role');
    if (!columns) { this.tiles.replaceChildren(...this.tilesOnly); return true; }
    const label = (text, kind) => make('span', { class: `axis-label ${kind}` }, text ?? '');
    const rows = Math.ceil(n / columns);
    this.tiles.replaceChildren(label('', 'corner'), ...Array.from({ length: columns }, (_, i) => label(grid?.columns.labels[i], 'column')),
      ...Array.from({ length: rows }, (_, r) => [label(grid?.rows.labels[r], 'row'), ...this.tilesOnly.slice(r * columns, (r + 1) * columns)]).flat());
    return true;
  }

  async drawDone(job) {
    let result;
    try { result = await this.results(job.id); } catch (error) { say(error.message, 'bad'); return; }
    if (this.job?.id !== job.id || job.state !== 'done') return;
    const files = new Set(this.jobs.find((one) => one.id === job.id)?.files ?? []);
    const key = `${job.id}/done/${[...files].filter((name) => name.startsWith('image-')).length}`;
    const pictures = result.pictures.length ? result.pictures : [{ file: 'page.png' }];
    const whole = result.kind !== 'images';
    this.lay(key, pictures.length, (i) => {
      const one = pictures[i];
      if (one.file !== 'page.png' && !files.has(one.file)) return make('div', { class: 'now-tile gone', title: 'in the bin' });
      const said = one.sampling ? `picture ${i} of ${described(job)}` : described(job);
      const button = make('button', { type: 'button', class: `now-tile${whole ? ' whole' : ''}`, 'data-file': one.file, 'aria-label': `Open ${said}`, onclick: () => this.openOf(job, one.file) }, image(file(job.id, one.file), ''));
      return one.sound ? make('div', { class: 'heard' }, button, make('audio', { controls: true, src: file(job.id, one.sound), 'aria-label': `sound ${i}` })) : button;
    }, result.grid ? result.grid.columns.labels.length : 0, result.grid);
    this.now.dataset.shown = job.id;
  }

  openOf(job, name) {
    this.gallery.choose('all');
    const one = this.gallery.pictures.find((p) => p.key === `${job.id}/${name}`);
    if (one) this.viewer.open(one, this.gallery);
  }
}
customElements.define('demist-generate-page', GeneratePage);
export default { title: 'Generate', element: 'demist-generate-page' };
