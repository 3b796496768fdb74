// All finished pictures: a wall to walk through with the arrow keys, favourites, a bin, and one at a time.
import { OVER, file, get, post, remove } from '../../lib/api.js';
import { bounded, make, say } from '../../lib/dom.js';
import { title } from './form.js';

const FEW = 240;
const NAMES = { n: 'Pictures', only: 'Number', grid: 'Schedule' };

// The pictures of jobs that are over, newest job first; one that was cancelled has those it finished; `bin` has those that were thrown away.
export function picturesOf(jobs, bin = false) {
  const found = [];
  for (const job of jobs.filter((one) => one.kind === 'generate' && OVER.includes(one.state)).reverse()) {
    const files = job.files ?? [], marks = new Set(files);
    const mine = files.filter((name) => (bin ? /^binned-\d+\.png$/ : /^image-\d+\.png$/).test(name));
    const all = mine.length || bin || files.some((name) => name.startsWith('binned-')) ? mine : files.filter((name) => name === 'page.png');
    for (const name of all) {
      const own = name.replace('binned-', 'image-');
      found.push({ key: `${job.id}/${own}`, job: job.id, own, file: name, url: file(job.id, name), favourite: marks.has(own.replace('.png', '.favourite')), number: Number(/\d+/.exec(name)?.[0] ?? 0), sound: marks.has(own.replace('image', 'sound').replace('.png', '.wav')) ? file(job.id, own.replace('image', 'sound').replace('.png', '.wav')) : null });
    }
  }
  return found;
}

export const mark = (picture, what) => post(`/api/jobs/${picture.job}/pictures/${picture.own}`, what).catch((error) => say(error.message, 'bad'));

// A small picture is enlarged pixel by pixel, not blurred.
export const image = (url, alt, more = {}) => make('img', { src: url, alt, loading: 'lazy', decoding: 'async', onload: (event) => event.target.classList.toggle('pixels', event.target.naturalWidth < 200), ...more });

export class Gallery {
  constructor({ onopen, oncompare }) {
    Object.assign(this, { onopen, oncompare, filter: 'all', shown: FEW, pictures: [], at: 0 });
    this.wall = make('div', { class: 'wall', role: 'listbox', 'aria-label': 'Pictures', onkeydown: (event) => this.key(event) });
    this.tabs = make('div', { class: 'segments', role: 'group', 'aria-label': 'Which pictures' }, [['all', 'All'], ['favourites', 'Favourites'], ['bin', 'Bin']].map(([name, words]) => make('button', { type: 'button', 'data-filter': name, 'aria-pressed': String(name === 'all'), onclick: () => this.choose(name) }, words)));
    this.more = make('button', { type: 'button', hidden: true, onclick: () => { this.shown += FEW; this.draw(); } }, 'Show more');
    this.thrown = make('ul', { class: 'thrown' });
    this.none = make('p', { class: 'empty' });
    this.keys = make('p', { class: 'small muted keys' }, 'Arrow keys move · Enter opens · F favourite · C compare · Delete throws away');
    this.card = make('section', { class: 'card gallery' }, make('div', { class: 'row spread title' }, make('h2', {}, 'Gallery'), this.tabs), this.wall, this.none, this.thrown, make('div', { class: 'row spread' }, this.keys, this.more));
  }

  choose(name) {
    this.filter = name;
    for (const one of this.tabs.children) one.setAttribute('aria-pressed', String(one.dataset.filter === name));
    this.draw();
  }

  show(jobs, bin, pair) {
    Object.assign(this, { jobs, bin, pair });
    this.draw();
  }

  get list() {
    const all = picturesOf(this.jobs ?? [], this.filter === 'bin');
    return this.filter === 'favourites' ? all.filter((one) => one.favourite) : all;
  }

  draw() {
    this.pictures = this.list;
    const shown = this.pictures.slice(0, this.shown);
    this.at = Math.max(0, Math.min(this.at, shown.length - 1));
    const key = shown.map((one) => `${one.key}${one.file}`).join();
    if (key !== this.drawn) {
      const inside = this.wall.contains(document.activeElement), old = new Map([...this.wall.children].map((tile) => [tile.dataset.key + tile.dataset.file, tile]));
      this.drawn = key;
      this.wall.replaceChildren(...shown.map((one) => old.get(one.key + one.file) ?? this.tile(one)));
      if (inside) this.wall.children[this.at]?.focus();
    }
    shown.forEach((one, i) => {
      const tile = this.wall.children[i];
      tile.tabIndex = i === this.at ? 0 : -1;
      tile.classList.toggle('favourite', one.favourite);
      tile.setAttribute('aria-selected', String(Boolean(this.pair?.some((p) => p.key === one.key))));
      tile.setAttribute('aria-label', `picture ${one.number} of job ${Number(one.job.split('-')[0])}${one.favourite ? ', a favourite' : ''}`);
    });
    this.more.hidden = this.pictures.length <= this.shown;
    const thrown = this.filter === 'bin' ? (this.bin ?? []).filter((job) => job.kind === 'generate') : [];
    this.none.hidden = shown.length > 0 || thrown.length > 0;
    this.wall.hidden = !shown.length;
    this.keys.hidden = !shown.length;
    this.none.textContent = { all: 'What is made is kept here.', favourites: 'No favourites yet: press F on a picture, or the heart.', bin: 'The bin is empty.' }[this.filter];
    this.thrown.replaceChildren(...thrown.map((job) => make('li', {}, make('span', {}, `Job ${Number(job.id.split('-')[0])}`), make('button', { type: 'button', 'aria-label': `Restore job ${Number(job.id.split('-')[0])}`, onclick: () => post(`/api/jobs/${job.id}/restore`).then(() => this.onchange?.(), (e) => say(e.message, 'bad')) }, 'Restore'))));
  }

  tile(one) {
    return make('div', { class: 'tile', role: 'option', 'data-key': one.key, 'data-file': one.file, onclick: () => { this.to(this.index(one)); this.onopen(this.pictures[this.at], this); } }, image(one.url, ''));
  }

  index(one) { return this.pictures.findIndex((p) => p.key === one.key); }

  to(i, focus = true) {
    this.at = Math.max(0, Math.min(i, Math.min(this.pictures.length, this.shown) - 1));
    [...this.wall.children].forEach((tile, k) => { tile.tabIndex = k === this.at ? 0 : -1; });
    if (focus) this.wall.children[this.at]?.focus();
    return this.pictures[this.at];
  }

  get columns() {
    const tiles = [...this.wall.children];
    return Math.max(1, tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length);
  }

  key(event) {
    const one = this.pictures[this.at], by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, Home: -1e9, End: 1e9 }[event.key];
    if (!one || event.ctrlKey || event.metaKey || event.altKey) return;
    const beyond = event.key.startsWith('Arrow') && !(this.at + by in this.wall.children); // there is no row or tile
    if (by !== undefined) this.to(beyond ? this.at : this.at + by);
    else if (event.key === 'Enter' || event.key === ' ') this.onopen(one, this);
    else if (event.key === 'f' || event.key === 'F') mark(one, { favourite: !one.favourite });
    else if (event.key === 'c' || event.key === 'C') this.oncompare(one);
    else if (event.key === 'Delete') mark(one, { binned: this.filter !== 'bin' });
    else return;
    event.preventDefault();
  }
}

// One picture, large, with its recipe and all that can be done with it.
export class Viewer {
  constructor({ onuse, oncompare }) {
    this.stage = make('div', { class: 'viewer-stage' });
    this.facts = make('dl', { class: 'facts' });
    this.heading = make('h2', { id: 'viewer-title' });
    const button = (words, f, more = {}) => make('button', { type: 'button', onclick: f, ...more }, words);
    this.heart = button('♡ Favourite', () => mark(this.one, { favourite: !this.one.favourite }), { class: 'heart' });
    this.away = button('To the bin', () => { const { one } = this, bin = this.gallery.filter !== 'bin'; this.move(1) || this.move(-1) || this.close(); mark(one, { binned: bin }); }, { class: 'away' });
    this.whole = button('Whole job to the bin', () => { this.close(); remove(`/api/jobs/${this.one.job}`).then(() => say('The job is in the bin; restore it there.'), (e) => say(e.message, 'bad')); }, { class: 'quiet' });
    this.save = make('a', { class: 'button', download: '' }, 'Save');
    this.dialog = make('dialog', { class: 'viewer', 'aria-labelledby': 'viewer-title', onkeydown: (event) => this.key(event), onclose: () => this.gallery?.to(this.gallery.index(this.one)) },
      make('div', { class: 'row spread viewer-head' }, this.heading, button('×', () => this.close(), { class: 'quiet', 'aria-label': 'Close' })),
      make('div', { class: 'viewer-body' },
        make('div', { class: 'viewer-left' }, this.stage, make('div', { class: 'row viewer-walk' }, button('‹', () => this.move(-1), { 'aria-label': 'Previous picture' }), this.heart, button('Compare', () => { this.close(); oncompare(this.one); }, { class: 'compare' }), button('›', () => this.move(1), { 'aria-label': 'Next picture' }))),
        make('div', { class: 'stack tight viewer-right' }, this.facts,
          make('div', { class: 'row' }, button('Use these settings', () => { this.close(); onuse(this.one, true); }, { class: 'primary use' }), button('Everything but the seed', () => { this.close(); onuse(this.one, false); })),
          make('div', { class: 'row' }, this.save, this.away, this.whole))));
    this.results = bounded(60, (id) => get(file(id, 'result.json')));
  }

  open(one, gallery) {
    this.gallery = gallery;
    this.draw(one);
    if (!this.dialog.open) this.dialog.showModal();
  }

  close() { this.dialog.close(); }

  // The gallery has changed below: the heart may be another.
  refresh() {
    const now = this.dialog.open && this.gallery.pictures.find((p) => p.key === this.one.key);
    if (now) { this.one = now; this.drawMarks(); }
  }

  async draw(one) {
    this.one = one;
    this.heading.textContent = one.own === 'page.png' ? `Job ${Number(one.job.split('-')[0])}` : `Picture ${one.number} of job ${Number(one.job.split('-')[0])}`;
    this.stage.replaceChildren(...[image(one.url, this.heading.textContent, { class: 'viewer-picture', 'data-key': one.key }), one.sound ? make('audio', { controls: true, src: one.sound, 'aria-label': 'The sound' }) : null].filter(Boolean));
    this.save.href = one.url;
    this.save.download = `demist-${one.key.replace('/', '-')}`;
    this.drawMarks();
    try {
      const result = await this.results(one.job);
      if (this.one !== one) return;
      const sampling = result.pictures.find((p) => p.file === one.own)?.sampling ?? result.sampling;
      const lines = Object.entries(sampling).filter(([name, value]) => value !== null && value !== '' && !(name === 'n' && value === 1));
      this.facts.replaceChildren(...lines.flatMap(([name, value]) => [make('dt', {}, NAMES[name] ?? title(name)), make('dd', {}, typeof value === 'object' ? JSON.stringify(value).replaceAll('"', '').slice(0, 200) : String(value))]));
    } catch (error) { say(error.message, 'bad'); }
  }

  drawMarks() {
    this.heart.setAttribute('aria-pressed', String(this.one.favourite));
    this.heart.textContent = this.one.favourite ? '♥ Favourite' : '♡ Favourite';
    this.away.hidden = this.one.own === 'page.png';
    this.away.textContent = this.gallery.filter === 'bin' ? 'Restore' : 'To the bin';
  }

  move(by) {
    const next = this.gallery.pictures[this.gallery.index(this.one) + by];
    if (!next) return false;
    this.draw(next);
    return true;
  }

  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.target.tagName === 'AUDIO' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (by) this.move(by);
    else if (event.key === 'f' || event.key === 'F') mark(this.one, { favourite: !this.one.favourite });
    else return;
    event.preventDefault();
  }
}
