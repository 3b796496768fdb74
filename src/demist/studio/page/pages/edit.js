// The brush: a picture, a mask painted on it, and variants that a model makes of it.
import '../elements/mask.js';
import { OVER, file, follow, get, post, upload } from '../lib/api.js';
import { make, say } from '../lib/dom.js';
import { bounds, isHard, seen, windowOf } from '../lib/mask.js';
import { blank } from '../lib/pictures.js';
import { read, write } from '../lib/state.js';
import { Form, plainModel } from './edit/form.js';
import { Kept, maskToKeep, paintAgain, recall } from './edit/kept.js';
import { Tools, blobOf, maskOf } from './edit/tools.js';
import { Job, Variants } from './edit/variants.js';

// Chips, pairs and code look as they do on the page Denoise.
if (!document.querySelector('link[href="/pages/denoise.css"]')) document.head.append(make('link', { rel: 'stylesheet', href: '/pages/denoise.css' }));

// `from`: the picture that is edited, an upload's id or a variant as JOB/NUMBER.
const DEFAULTS = { from: '', job: '', variant: 0 };
const NONE = { left: 0, right: 0, top: 0, bottom: 0 };

class EditPage extends HTMLElement {
  async connectedCallback() {
    this.state = read(DEFAULTS);
    this.facts = new Map();
    this.loads = 0;
    this.kept = new Kept(() => ({ state: this.state, form: this.form.keep(), tools: this.tools.keep(), mask: maskToKeep(this.canvas) }));
    this.build();
    // Who comes back without a picture in the address finds what was left here.
    let left = recall();
    if (left && !this.state.from && !this.state.job) this.set(left.state);
    else if (left?.state.from !== this.state.from || left.state.job !== this.state.job) left = null;
    try {
      const [models, jobs] = await Promise.all([get('/api/models'), get('/api/jobs')]);
      this.jobs = jobs.filter((job) => job.kind === 'edit' && job.settings);
      this.form.show(models);
    } catch (error) {
      say(error.message, 'bad');
      return;
    }
    const { from, job: wanted } = this.state, before = this.jobs.find((job) => job.id === wanted);
    if (left) this.form.take(left.form);
    else if (before) this.form.restore(before.settings);
    await this.able();
    if (from) await this.open(from);
    if (left) { this.tools.take(left.tools); paintAgain(this.canvas, left.mask); }
    else if (before?.settings.mask && this.canvas.picture && sourceOf(before.settings) === from) await this.remask(before.settings.mask);
    if (before) await this.attach(new Job(before), this.state.variant);
    if (!this.isConnected) return;
    this.kept.begin();
    this.follow();
  }

  disconnectedCallback() { this.kept.end(); this.stop?.(); }

  build() {
    this.canvas = make('demist-mask', { tabindex: '0', role: 'application', 'aria-label': 'Picture and mask: paint what is made anew' });
    this.file = make('input', { type: 'file', accept: 'image/png,image/jpeg,image/webp', hidden: true, 'aria-label': 'File of the picture', class: 'picture-file', onchange: () => { if (this.file.files[0]) this.bring(this.file.files[0]); this.file.value = ''; } });
    const choose = () => make('button', { type: 'button', class: 'choose', onclick: () => this.file.click() }, 'Choose a picture');
    const draw = () => make('button', { type: 'button', class: 'draw', onclick: () => this.run('draw') }, 'Let the model draw some');
    this.form = new Form({ onmodel: () => this.able(), onmode: () => this.follow(), onextend: () => this.follow(), onrun: (mode) => this.run(mode) });
    this.variants = new Variants({ onpick: (k) => this.pick(k), onedit: (k) => this.goOn(k) });
    this.replaceChildren(
      make('div', { class: 'head' }, make('h1', {}, 'Edit'), make('p', {}, 'Paint over a part of a picture, and let a model make it anew. What you do not paint stays as it is, byte for byte.')),
      make('div', { class: 'edit-bench' }, make('aside', { class: 'stack' }, this.form.card), make('div', { class: 'stack' })));
    this.append(this.file);
    this.querySelector('.edit-bench > div').append(this.canvas); // now it is a <demist-mask>
    this.tools = new Tools(this.canvas, { network: () => this.turn(), view: (name) => this.view(name) });
    this.empty = make('div', { class: 'nothing' }, make('p', {}, 'Drop a picture here, or'), make('div', { class: 'row' }, choose(), draw()));
    this.source = make('p', { class: 'small muted' });
    this.back = make('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => this.open(this.parent) }, 'Back to the picture before');
    const stage = make('section', { class: 'card stage-card' },
      make('div', { class: 'row spread sources' }, this.source, make('div', { class: 'row' }, this.back, choose(), draw())),
      this.tools.bar, make('div', { class: 'canvas' }, this.canvas, this.empty), this.tools.foot, this.tools.facts);
    stage.addEventListener('keydown', (event) => this.tools.key(event));
    stage.addEventListener('keyup', (event) => { if (event.key === ' ') this.canvas.space = false; });
    for (const name of ['dragenter', 'dragover']) stage.addEventListener(name, (event) => { event.preventDefault(); stage.classList.add('over'); });
    for (const name of ['dragleave', 'drop']) stage.addEventListener(name, (event) => { if (name === 'drop' || !stage.contains(event.relatedTarget)) stage.classList.remove('over'); });
    stage.addEventListener('drop', (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) this.bring(event.dataTransfer.files[0]); });
    this.canvas.addEventListener('demist-mask', () => { this.sent = null; this.kept.later(); this.follow(); });
    for (const name of ['input', 'change']) this.addEventListener(name, () => this.kept.later());
    this.querySelector('.edit-bench > div').replaceChildren(stage, this.variants.card);
    this.follow();
  }

  set(changes) {
    Object.assign(this.state, changes);
    write(this.state, DEFAULTS);
    this.kept.later();
  }

  // What the model can do: known from its description, or from a job that opens it.
  async able() {
    const { model } = this.form;
    if (!model) return;
    if (!this.facts.has(model.id)) {
      if (plainModel(model)) {
        const sides = model.shape.slice(1);
        this.facts.set(model.id, { modes: ['draw', 'vary', 'inpaint', 'outpaint'], sides, state: sides, told: false });
      } else {
        this.form.able(null);
        try { this.facts.set(model.id, await this.look(model.id)); } catch (error) { say(error.message, 'bad'); }
      }
    }
    if (this.form.model?.id === model.id && this.facts.has(model.id)) this.form.able(this.facts.get(model.id));
    this.follow();
  }

  async look(model) {
    const known = this.jobs.findLast((job) => job.settings.mode === 'look' && job.settings.model === model && job.state === 'done');
    if (known) return get(file(known.id, 'about.json'));
    const { id } = await post('/api/jobs', { kind: 'edit', settings: { model, mode: 'look' } });
    await new Promise((give, fail) => {
      let stop = null, ended = false;
      follow(id, (event) => {
        const state = event.type === 'state' ? event.state : event.type;
        if (!OVER.includes(state) || ended) return;
        ended = true;
        stop?.();
        if (state === 'done') give();
        else fail(new Error(event.message ?? 'the model could not be opened'));
      }).then((found) => { stop = found.stop; if (ended) stop(); }, fail);
    });
    return get(file(id, 'about.json'));
  }

  // --- the picture

  async bring(blob) {
    try { await this.open((await upload(blob)).id); } catch (error) { say(error.message, 'bad'); }
  }

  async bitmap(from) {
    const [id, variant] = from.split('/');
    const about = variant ? await get(file(id, 'about.json')) : null;
    return canvasOf(variant ? file(id, about.files[variant - 1]) : `/api/uploads/${id}/image`);
  }

  async open(from, keep = true) {
    const load = ++this.loads;
    try {
      const picture = await this.bitmap(from);
      if (load !== this.loads) return;
      const before = this.canvas.picture;
      this.canvas.open(picture, keep);
      if (!before || before.width !== picture.width || before.height !== picture.height) this.tools.fitTo(picture);
      this.set({ from });
      const [job] = from.split('/');
      const asked = from.includes('/') ? (this.job?.id === job ? this.job.settings : this.jobs.find((one) => one.id === job)?.settings) : null;
      this.parent = asked ? sourceOf(asked) : '';
      this.view('mask');
    } catch (error) {
      say(error.message, 'bad');
    }
  }

  async remask(id) {
    try {
      const answer = await fetch(`/api/uploads/${id}/image`), { width, height } = this.canvas.mask;
      if (!answer.ok) return;
      const found = await maskOf(await answer.blob(), width, height);
      if (found.width === width && found.height === height) this.canvas.load(found.data);
    } catch { /* the mask is gone; it is painted again */ }
  }

  // --- the edit

  async run(mode) {
    const { canvas, form } = this;
    const masked = ['inpaint', 'instruct'].includes(mode) && Boolean(this.painted.box);
    const settings = form.settings(mode, masked);
    form.button.disabled = true;
    const { from } = this.state;
    try {
      if (mode !== 'draw') {
        const [id, variant] = this.state.from.split('/');
        Object.assign(settings, variant ? { parent: id, variant: Number(variant) } : { image: id });
        if (masked) {
          // A stroke may be painted while the mask is on its way: then the next time it is sent anew.
          const { version } = canvas, { hard } = this.painted;
          settings.mask = this.sent ?? (await upload(await blobOf(canvas.grey()))).id;
          if (canvas.version === version) this.sent = settings.mask;
          if (form.told && !hard) settings.threshold = 0.5;
        }
      }
      const { id } = await post('/api/jobs', { kind: 'edit', settings });
      this.jobs.push({ id, settings, kind: 'edit' });
      await this.attach(new Job({ id, settings }), 1, from ?? '');
      if (innerWidth < 960) this.variants.card.scrollIntoView({ block: 'nearest' });
    } catch (error) {
      say(error.message, 'bad');
    }
    this.follow();
  }

  // `fresh`: which picture stood there when the job was asked for just now.
  async attach(job, variant, fresh = null) {
    this.stop?.();
    Object.assign(this, { job, fresh });
    this.set({ job: job.id, variant: Math.min(variant || 1, job.n) });
    canvasOff(this.canvas);
    const followed = await follow(job.id, async (event) => {
      await job.heard(event);
      if (this.job === job) this.heard(job);
    });
    if (this.job === job) this.stop = followed.stop;
    else followed.stop();
  }

  heard(job) {
    this.later();
    if (job.state !== 'done' || !job.about || this.finished === job.id) return;
    this.finished = job.id;
    // What the model drew is there to be edited; there is nothing else to look at.
    if (job.settings.mode === 'draw' && this.fresh === (this.state.from ?? '')) this.open(`${job.id}/${this.state.variant}`, false);
  }

  // Several pieces of news between two frames of the screen are drawn at once.
  later() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => { this.due = 0; this.follow(); });
  }

  pick(variant) {
    this.set({ variant });
    if (this.job.settings.mode === 'draw' && this.job.state === 'done') this.open(`${this.job.id}/${variant}`);
    else if (this.canvas.view === 'mask') this.view('result');
    this.follow();
  }

  goOn(variant) { this.open(`${this.job.id}/${variant}`); }

  view(name) {
    this.canvas.set({ view: name });
    this.follow();
  }

  turn() {
    this.network = !this.network;
    if (this.network && this.canvas.view !== 'mask') this.view('mask');
    this.follow();
  }

  // What is to be known of the mask, computed once for each.
  get painted() {
    const { mask, version } = this.canvas;
    if (!mask) return { box: null, hard: true, part: 0 };
    if (this.measured?.mask !== mask || this.measured.version !== version) {
      const part = mask.data.reduce((sum, v) => sum + v, 0) / 255 / mask.data.length;
      this.measured = { mask, version, box: bounds(mask), hard: isHard(mask.data), part };
    }
    return this.measured;
  }

  // Put everything on the page as it is now.
  follow() {
    const { canvas, form, job } = this;
    if (!this.tools) return;
    const { mode } = form, painted = ['inpaint', 'instruct'].includes(mode), margins = mode === 'outpaint' && canvas.view === 'mask' ? form.extend : this.shownMargins();
    if (canvas.editable !== painted) canvas.set({ editable: painted });
    if (canvas.picture && JSON.stringify(margins) !== JSON.stringify(canvas.margins)) canvas.set({ margins });
    this.result();
    this.seen();
    this.empty.hidden = Boolean(canvas.picture);
    this.querySelector('.sources').classList.toggle('none', !canvas.picture);
    this.back.hidden = !this.parent;
    const { from } = this.state, [id, variant] = from.split('/');
    this.source.textContent = !canvas.picture ? '' : variant ? `Variant ${variant} of edit ${Number(id.split('-')[0])}` : 'Your picture';
    this.tools.said.textContent = this.words();
    this.tools.follow();
    this.variants.show(job ?? null, this.state.variant);
    const mask = painted ? this.painted.box : null;
    const ready = mode === 'inpaint' ? mask : mode === 'outpaint' ? Object.values(form.extend).some(Boolean) : true;
    form.button.disabled = !canvas.picture || !ready;
    form.button.title = !canvas.picture ? 'Choose a picture first' : ready ? '' : mode === 'inpaint' ? 'Paint first what is made anew' : 'Say by how many pixels';
  }

  // A result belongs to a larger picture than the one that is edited: before lies in it.
  shownMargins() {
    const { job } = this;
    return job && job.settings.mode === 'outpaint' && sourceOf(job.settings) === this.state.from && this.canvas.view !== 'mask' ? { ...NONE, ...job.settings.extend } : NONE;
  }

  // The variant that is looked at, if it was made of this picture: the newest preview, then the result.
  result() {
    const { job, canvas } = this, url = job && job.settings.mode !== 'draw' && sourceOf(job.settings) === this.state.from ? job.url(this.state.variant) : null;
    if (!url) { canvasOff(canvas); this.seenUrl = null; return; }
    if (this.seenUrl === url) return;
    const first = !canvas.after && canvas.view === 'mask' && this.fresh !== null;
    this.seenUrl = url;
    canvasOf(url).then((picture) => {
      if (this.seenUrl !== url) return;
      canvas.after = picture;
      canvas.dataset.after = url;
      if (first && this.job === job) { this.fresh = null; this.view('result'); } else { canvas.later(); this.tools.follow(); }
    }, () => {});
  }

  seen() {
    const { canvas, form } = this, facts = this.facts.get(form.model?.id);
    let shown = null;
    if (this.network && canvas.picture && facts && canvas.view === 'mask') {
      let { mask } = canvas, window = { x: 0, y: 0, width: mask.width, height: mask.height };
      if (form.mode === 'outpaint') { mask = extended(mask, form.extend); window = { x: 0, y: 0, width: mask.width, height: mask.height }; }
      if (form.mode === 'vary') mask = { ...mask, data: new Uint8Array(mask.data.length).fill(255) };
      if (form.mode === 'instruct' && !this.painted.box) mask = { ...mask, data: new Uint8Array(mask.data.length).fill(255) };
      if (form.told && !isHard(mask.data)) mask = { ...mask, data: mask.data.map((v) => (v >= 128 ? 255 : 0)) };
      if (form.near.checked && !form.near.disabled) window = windowOf(mask, Number(form.padding.value) || 0, facts.sides) ?? window;
      shown = { ...seen(mask, window, facts.sides, facts.state), window };
    }
    if (shown || canvas.shown) canvas.set({ shown });
  }

  words() {
    const { canvas, form } = this, facts = this.facts.get(form.model?.id);
    if (!canvas.picture) return '';
    const { width, height } = canvas.extent, words = [`${width} × ${height} pixels`];
    if (facts && (facts.sides[0] !== height || facts.sides[1] !== width)) words.push(`the model works at ${facts.sides[1]} × ${facts.sides[0]}`);
    if (canvas.view === 'mask' && canvas.editable) {
      const { part, hard } = this.painted;
      words.push(part ? `${part < 0.1 ? (100 * part).toFixed(1) : Math.round(100 * part)} % is made anew${hard ? '' : ', with greys'}` : 'nothing is painted yet');
    }
    if (canvas.shown) {
      const { values, width: w, height: h } = canvas.shown, some = values.filter((v) => v > 0).length;
      words.push(`the network sees ${w} × ${h}: ${some} of ${values.length} anew`);
    }
    if (form.told && !this.painted.hard) words.push('this model is told the mask: greys from half on are made anew');
    return words.join('  ·  ');
  }
}

const sourceOf = ({ image, parent, variant }) => (parent ? `${parent}/${variant ?? 1}` : image ?? '');

function canvasOff(canvas) {
  canvas.after = null;
  delete canvas.dataset.after;
  if (canvas.view !== 'mask') canvas.set({ view: 'mask' });
}

async function canvasOf(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error('the picture is not there any more; choose another one');
  const bitmap = await createImageBitmap(await answer.blob(), { colorSpaceConversion: 'none' });
  const canvas = blank(bitmap.width, bitmap.height), context = canvas.getContext('2d');
  context.fillStyle = '#fff'; // as the library lays what is transparent over white
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  return canvas;
}

// The mask of a picture that goes on beyond its edges.
function extended({ width, height }, { left, right, top, bottom }) {
  const wide = width + left + right, high = height + top + bottom, data = new Uint8Array(wide * high).fill(255);
  for (let y = top; y < top + height; y++) data.fill(0, y * wide + left, y * wide + left + width);
  return { data, width: wide, height: high };
}

customElements.define('demist-edit-page', EditPage);
export default { title: 'Edit', element: 'demist-edit-page' };
