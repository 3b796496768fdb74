// The microscope: run a sampling, look at every step of it, go back, branch, compare.
import '../elements/compare.js';
import '../elements/filmstrip.js';
import '../elements/plots.js';
import '../elements/tree.js';
import '../elements/warned.js';
import '../elements/words.js';
import { follow, get, post } from '../lib/api.js';
import { make, say } from '../lib/dom.js';
import { read, write } from '../lib/state.js';
import { rms } from '../lib/trace.js';
import { codeCard } from './denoise/code.js';
import { Form } from './denoise/form.js';
import { Keep } from './denoise/keep.js';
import { OVER, Take, journey, said } from './denoise/take.js';

document.head.append(make('link', { rel: 'stylesheet', href: '/pages/denoise.css' }));
const DEFAULTS = { job: '', step: -1, row: 0, against: '', word: -1 };

class DenoisePage extends HTMLElement {
  async connectedCallback() {
    this.state = read(DEFAULTS);
    this.takes = new Map();
    this.build();
    try {
      [this.models, this.jobs] = await Promise.all([get('/api/models'), get('/api/jobs')]);
    } catch (error) {
      say(error.message, 'bad');
      return;
    }
    this.first.fill(this.models);
    const mine = this.jobs.filter((job) => job.kind === 'denoise');
    const wanted = mine.find((job) => job.id === this.state.job) ?? mine.at(-1);
    if (wanted) await this.family(wanted.id, mine);
    else this.draw();
  }

  disconnectedCallback() { for (const take of this.takes.values()) take.stop(); }

  build() {
    this.first = new Form({ title: 'Sampling', button: 'Run', onrun: (settings) => this.start(settings) });
    this.branch = new Form({ title: 'Branch', button: 'Branch here', branch: true, onrun: (settings) => this.start({ ...settings, model: this.take.model, parent: this.state.job, step: this.at() }) });
    this.keep = new Keep();
    this.branch.extra.append(this.keep.controls);
    this.branch.keep = () => this.keep.rows();
    this.pictures = { x: make('div', { class: 'stage-picture' }), x0: make('div', { class: 'stage-picture' }) };
    const figure = (which, name, more, ...extras) => make('figure', { class: 'stage' }, make('div', { class: 'stage-frame' }, this.pictures[which], extras), make('figcaption', {}, make('strong', {}, name), make('span', { class: 'muted small' }, more)));
    this.words = make('demist-words', { hidden: true });
    this.words.addEventListener('demist-word', ({ detail }) => this.set({ word: detail }));
    this.warned = make('demist-warned');
    this.note = make('p', { class: 'stage-note small muted', hidden: true });
    this.sound = make('audio', { class: 'stage-sound', controls: true, hidden: true });
    this.rows = make('div', { class: 'rows', role: 'radiogroup', 'aria-label': 'Sample' });
    this.where = make('p', { class: 'where', 'aria-live': 'off' });
    this.journey = make('p', { class: 'journey', hidden: true });
    this.status = make('div', { class: 'row status' });
    this.play = make('button', { type: 'button', 'aria-label': 'Play', onclick: () => this.playing() }, '▶');
    this.film = make('demist-filmstrip');
    this.film.addEventListener('demist-step', (event) => this.go(event.detail));
    const step = (sign, words, by) => make('button', { type: 'button', 'aria-label': words, onclick: () => this.film.move(by(this.at())) }, sign);
    this.transport = make('div', { class: 'row transport' },
      step('|◀', 'To the first step', () => 0), step('‹', 'One step back', (k) => k - 1), this.play, step('›', 'One step on', (k) => k + 1), step('▶|', 'To the last step', () => 1e9), this.where);
    this.schedule = make('demist-schedule');
    this.histogram = make('demist-histogram');
    this.curves = make('demist-curves');
    const legend = (...items) => make('p', { class: 'legend' }, items.map(([name, token, dashed]) => make('span', { class: `key${dashed ? ' dashed' : ''}` }, make('i', { style: { background: `var(${token})` } }), name)));
    this.tree = make('demist-branches');
    this.tree.addEventListener('demist-take', (event) => this.open(event.detail));
    this.compare = make('demist-compare');
    this.against = make('select', { 'aria-label': 'Compare with', onchange: () => this.set({ against: this.against.value }) });
    this.compareCard = make('section', { class: 'card compare-card' }, make('div', { class: 'row spread title' }, make('h2', {}, 'Compare'), make('label', { class: 'small' }, 'with', this.against)), this.compare);
    this.code = codeCard();
    this.empty = make('p', { class: 'empty card' }, 'Press Run: the model turns noise into digits, and every step of it stays here to be looked at.');
    this.whole = make('div', { class: 'stack whole', hidden: true },
      make('section', { class: 'card microscope' },
        this.status, this.warned,
        make('div', { class: 'stages' },
          figure('x', 'xₜ', 'the noisy state, as the network sees it'),
          figure('x0', 'x̂₀', 'the clean data that it predicts from it', this.words.overlay, this.keep.canvas)),
        this.note, this.sound, this.rows, this.transport, this.film, this.words, this.journey),
      make('div', { class: 'grid plots' },
        make('section', { class: 'card' }, make('h2', {}, 'Schedule'), this.schedule, legend(['log(α²/σ²)', '--plot-1'], ['steps', '--accent'])),
        make('section', { class: 'card' }, make('h2', {}, 'Numbers of xₜ'), this.histogram, legend(['this sample', '--plot-1'], ['N(0, 1)', '--plot-2'])),
        make('section', { class: 'card' }, make('h2', {}, 'Lengths'), this.curves, legend(['xₜ', '--plot-1'], ['x̂₀', '--plot-3'], ['predicted noise', '--plot-4'], ['change of x̂₀', '--plot-2', true]))),
      this.compareCard,
      this.code.card);
    this.invertCard = make('section', { class: 'card invert-card', hidden: true },
      make('h2', {}, 'Invert and come back'),
      make('p', { class: 'small muted' }, 'Walk from these samples to the noise that they come from (guidance 1, nothing drawn), then back, as they were or with something changed.'),
      make('button', { type: 'button', onclick: () => this.start({ model: this.take.model, parent: this.state.job, invert: true }) }, 'Invert these'));
    this.branchCard = make('section', { class: 'card branches', hidden: true }, make('h2', {}, 'Branches'), this.tree);
    this.replaceChildren(
      make('div', { class: 'head' }, make('h1', {}, 'Denoise'), make('p', {}, 'Watch noise become data. Go back to any step, change something, and see what would have become of it.')),
      make('div', { class: 'bench' },
        make('aside', { class: 'stack' }, this.first.card, this.branchCard, this.branch.card, this.invertCard),
        make('div', { class: 'stack' }, this.empty, this.whole)));
    this.branch.card.hidden = true;
  }

  // All takes of the tree that a job belongs to.
  async family(id, jobs) {
    const byId = new Map(jobs.map((job) => [job.id, job]));
    const root = (job) => { let at = job; while (byId.has(at.settings?.parent)) at = byId.get(at.settings.parent); return at.id; };
    const mine = root(byId.get(id));
    for (const job of jobs) if (job.settings && root(job) === mine && !['failed', 'cancelled'].includes(job.state)) this.add(job);
    if (!this.takes.has(id)) this.add(byId.get(id));
    await this.open(id, this.state.step);
    for (const take of this.takes.values()) take.load().then(() => this.draw(), () => {});
  }

  add(job) {
    const take = new Take(job, this.models);
    this.takes.set(job.id, take);
    take.ready = follow(job.id, (event) => this.heard(take, event)).then((f) => { take.stop = () => f.stop(); }, (error) => say(error.message, 'bad'));
    return take;
  }

  async start(settings) {
    try {
      const { id } = await post('/api/jobs', { kind: 'denoise', settings });
      if (!settings.parent) {
        for (const take of this.takes.values()) take.stop();
        this.takes.clear();
      }
      this.add({ id, settings, state: 'queued' });
      this.following = true;
      this.keep.clear();
      await this.open(id);
      if (innerWidth < 960) this.querySelector('.microscope').scrollIntoView({ block: 'start' });
    } catch (error) {
      say(error.message, 'bad');
    }
  }

  async open(id, step = -1) {
    const before = this.takes.get(this.state.job), take = this.takes.get(id);
    const same = step >= 0 ? step : before && before !== take && take?.state === 'done' ? Math.min(this.at(), take.steps ?? 1e9) : -1;
    this.set({ job: id, step: same }, false);
    if (take?.state === 'done') await take.load().catch((error) => say(error.message, 'bad'));
    this.code.show(id, take);
    this.draw();
  }

  async heard(take, event) {
    if (!(await take.heard(event))) return;
    if (take.id === this.state.job) {
      if (event.type === 'step' && this.following) this.state.step = -1;
      if (OVER.includes(take.state)) { this.following = false; this.code.show(take.id, take); }
    }
    this.later();
  }

  // Several pieces of news between two frames of the screen are drawn at once.
  later() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => { this.due = 0; this.draw(); });
  }

  get take() { return this.takes.get(this.state.job); }

  at() {
    const last = Math.max(0, this.take?.last ?? 0);
    return this.state.step < 0 ? last : Math.min(this.state.step, last);
  }

  go(step) {
    this.following = false;
    this.set({ step: step >= (this.take?.steps ?? Infinity) ? -1 : step });
  }

  set(changes, draw = true) {
    Object.assign(this.state, changes);
    write(this.state, DEFAULTS);
    if (draw) this.draw();
  }

  playing() {
    clearInterval(this.timer);
    if (this.timer) { this.timer = 0; } else {
      if (this.at() === this.take.steps) this.go(0);
      this.timer = setInterval(() => {
        if (!this.isConnected || this.at() >= this.take.steps) return this.playing();
        this.film.move(this.at() + 1);
      }, 120);
    }
    this.play.textContent = this.timer ? 'II' : '▶';
    this.play.setAttribute('aria-label', this.timer ? 'Pause' : 'Play');
  }

  draw() {
    const { take } = this;
    this.empty.hidden = Boolean(take);
    this.whole.hidden = !take;
    this.branch.card.hidden = !(take?.trace);
    this.branchCard.hidden = this.takes.size < 2;
    this.invertCard.hidden = !take?.trace || take.rising;
    for (const one of this.takes.values()) { const from = this.takes.get(one.settings.parent); one.back = !one.rising && from?.rising ? from : null; }
    if (!take) return;
    const step = this.at(), row = Math.min(this.state.row, take.n - 1);
    this.drawStatus(take);
    for (const which of ['x', 'x0']) {
      const picture = take.picture(which, step, row);
      if (!picture) continue;
      picture.className = 'pixels';
      picture.setAttribute('role', 'img');
      picture.setAttribute('aria-label', `${which === 'x' ? 'noisy state' : 'predicted data'} of sample ${row} after ${step} steps`);
      this.pictures[which].replaceChildren(picture);
      this.pictures[which].dataset.step = String(step);
    }
    this.drawRows(take, step, row);
    this.drawSaid(take, row);
    this.words.show({ trace: take.trace, told: take.words, step, row, word: this.state.word, flip: take.kind === 'sounds' });
    const words = said(take, step);
    this.where.textContent = words;
    this.journey.textContent = journey(take, row);
    this.journey.hidden = !this.journey.textContent;
    this.film.show({
      steps: take.steps ?? 0, step, last: Math.max(0, take.last), kept: take.kept, ends: take.rising ? ['data', 'noise'] : ['noise', 'data'],
      key: `${take.id}/${row}/${take.trace ? 'trace' : 'sheets'}`, said: words, picture: (which, k) => take.picture(which, k, row),
    });
    this.drawPlots(take, step, row);
    this.drawTree(step, row);
    this.drawCompare(take, row);
    const model = this.models?.find((one) => one.id === take.model);
    this.branch.refer(model, take, step);
    this.keep.follow(take, step, model);
  }

  // The parts stay, so that a click on Cancel is none on a button that the next step has replaced.
  drawStatus(take) {
    const running = !OVER.includes(take.state), last = Math.max(0, take.last);
    if (!this.badge) {
      this.badge = make('span');
      this.bar = make('progress', { class: 'bar', 'aria-label': 'Progress' });
      this.cancel = make('button', { type: 'button', class: 'cancel', onclick: () => post(`/api/jobs/${this.take.id}/cancel`).catch((e) => say(e.message, 'bad')) }, 'Cancel');
      this.message = make('span', { class: 'muted small' });
      this.status.append(this.badge, this.bar, this.cancel, this.message);
    }
    this.badge.className = `badge ${take.state}`;
    this.badge.textContent = running && take.steps ? `step ${last} of ${take.steps}` : take.state;
    Object.assign(this.bar, { max: take.steps || 1, value: last });
    this.message.textContent = take.message;
    this.bar.hidden = this.cancel.hidden = !running;
    this.message.hidden = !take.message;
    this.status.dataset.state = take.state;
    this.status.hidden = take.state === 'done';
  }

  // What is shown, in words, and the sound that was made.
  drawSaid(take, row) {
    this.warned.follow(take.id);
    this.note.textContent = take.shown;
    this.note.hidden = !take.shown;
    const url = take.sound(row);
    this.sound.hidden = !url;
    if (url && this.sound.dataset.url !== url) {
      this.sound.dataset.url = this.sound.src = url;
      this.sound.setAttribute('aria-label', `The sound of sample ${row}`);
    }
  }

  drawRows(take, step, row) {
    this.rows.hidden = take.n < 2 || take.kind === 'points';
    if (this.rows.hidden) return;
    const shown = Math.min(take.n, 32);
    if (this.rows.children.length !== shown) {
      this.rows.replaceChildren(...Array.from({ length: shown }, (_, i) => make('button', { type: 'button', role: 'radio', 'aria-label': `Sample ${i}`, onclick: () => this.set({ row: i }) })));
      this.rows.onkeydown = (event) => {
        const go = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!go) return;
        event.preventDefault();
        this.set({ row: (Math.min(this.state.row, shown - 1) + go + shown) % shown });
        this.rows.children[this.state.row].focus();
      };
    }
    const key = `${take.id}/${step}/${take.trace ? 'trace' : 'sheets'}`, same = this.rows.dataset.key === key;
    this.rows.dataset.key = key;
    [...this.rows.children].forEach((button, i) => {
      const picture = same && button.firstChild ? null : take.picture('x0', step, i);
      if (picture) { picture.className = 'pixels'; picture.setAttribute('aria-hidden', 'true'); button.replaceChildren(picture); }
      button.setAttribute('aria-checked', String(i === row));
      button.tabIndex = i === row ? 0 : -1;
    });
  }

  drawPlots(take, step, row) {
    const { trace } = take;
    if (!trace) {
      // Only what it told so far; the rest comes with the trace.
      this.plotted = '';
      this.curves.show({ lines: take.lines(row), steps: take.steps ?? 1, step });
      this.schedule.show({ curve: [], times: take.times(), step });
      this.histogram.show({ numbers: [] });
      return;
    }
    const key = `${take.id}/${row}`;
    if (this.plotted !== key) {
      this.plotted = key;
      const of = (f) => Array.from({ length: trace.steps + 1 }, (_, k) => f(k));
      const change = (k) => { const [a, b] = [trace.numbers('x0', k, row), trace.numbers('x0', k - 1, row)]; return rms(a.map((v, i) => v - b[i])); };
      this.lines = [
        { name: 'x_t', colour: '--plot-1', values: of((k) => rms(trace.numbers('x', k, row))) },
        { name: 'x0', colour: '--plot-3', values: of((k) => rms(trace.numbers('x0', k, row))) },
        { name: 'noise', colour: '--plot-4', values: of((k) => (k < trace.steps && trace.sigma[k] > 0 ? rms(trace.noise(k, row)) : NaN)) },
        { name: 'change', colour: '--plot-2', dash: [5, 4], values: of((k) => (k ? change(k) : NaN)) },
      ];
      this.curve = Array.from({ length: trace.schedule.length / 3 }, (_, i) => [...trace.schedule.slice(3 * i, 3 * i + 3)]);
      this.times = of((k) => [trace.times[k], trace.alpha[k], trace.sigma[k]]);
    }
    this.schedule.show({ curve: this.curve, times: this.times, step });
    this.histogram.show({ numbers: trace.numbers('x', step, row) });
    this.curves.show({ lines: this.lines, steps: trace.steps, step });
  }

  drawTree(step, row) {
    const takes = [...this.takes.values()].map((t) => ({ id: t.id, parent: t.settings.parent ?? null, step: t.settings.step ?? 0, steps: t.steps ?? 1, label: t.label, rising: t.rising, back: Boolean(t.back), picture: t.trace ? t.picture(t.rising ? 'x' : 'x0', t.steps, Math.min(row, t.n - 1)) : null }));
    const key = `${row}/${this.state.job}/${step}/${takes.map((t) => `${t.id}${t.steps}${Boolean(t.picture)}`)}`;
    if (key === this.treeKey) return;
    const focused = this.tree.contains(document.activeElement) ? document.activeElement.dataset.take : null;
    this.treeKey = key;
    this.tree.show({ takes, open: this.state.job, step });
    if (focused) this.tree.querySelector(`[data-take="${focused}"]`)?.focus();
  }

  drawCompare(take, row) {
    const others = [...this.takes.values()].filter((t) => t.trace && t.id !== take.id);
    this.compareCard.hidden = !take.trace || !others.length || take.kind !== 'images';
    if (this.compareCard.hidden) return;
    const other = others.find((t) => t.id === this.state.against) ?? others.find((t) => t.id === take.settings.parent) ?? others[0];
    const key = `${take.id}/${other.id}/${row}/${others.length}`;
    if (key === this.comparedKey) return;
    this.comparedKey = key;
    this.against.replaceChildren(...others.map((t) => make('option', { value: t.id, selected: t === other }, t.label)));
    const end = (t) => t.result(Math.min(row, t.n - 1));
    this.compare.show({ a: end(other), b: end(take), names: [other.label, take.label] });
  }
}
customElements.define('demist-denoise-page', DenoisePage);
export default { title: 'Denoise', element: 'demist-denoise-page' };
