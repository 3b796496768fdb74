// Field: points of the plane, their score at every time, and a network that learns it.
import { REACH } from '../elements/field.js';
import { file, get, latest, start } from '../lib/api.js';
import { colour } from '../lib/colour.js';
import { learned } from '../lib/diffusion/mlp.js';
import { Mixture, exact, guided } from '../lib/diffusion/mixture.js';
import { apart, backwards, forwards } from '../lib/diffusion/plane.js';
import { SCHEDULES, schedule } from '../lib/diffusion/schedules.js';
import { NAMES, classNames, shape } from '../lib/diffusion/shapes.js';
import { ODE, SDE, solver } from '../lib/diffusion/solvers.js';
import { make, number, say } from '../lib/dom.js';
import { parse, read, write } from '../lib/state.js';

const MOST = 120; // points of one's own
const SECONDS = 6;
const WEIGHTS = 'weights.safetensors';
const SLICE = 8e7; // multiplications at a time, so that the page stays quick
const DEFAULTS = {
  shape: 'moons', first: [-1, 0], second: [1, 0], width: 0.1, schedule: 'cosine', solver: 'adams', steps: 40,
  particles: 250, seed: 1, at: 0.55, way: 'back', class: 'all', scale: 2, arrows: true, contours: true, trails: true,
  x: -0.6, y: 1.4, model: '',
};

class FieldPage extends HTMLElement {
  #frame = 0;
  #cache = new Map();
  #pen = 0;
  #learned = null; // {key, model, done, version}
  #taken = null; // {id, told, buffer}: a model that was trained before

  connectedCallback() {
    this.setAttribute('class', 'stack');
    this.state = sane(read(DEFAULTS));
    this.build();
    this.restore = () => { if (!mine()) return; this.state = sane(read(DEFAULTS)); this.show(); this.take(); };
    window.addEventListener('hashchange', this.restore);
    this.show();
    this.list();
    this.take();
  }

  disconnectedCallback() {
    this.stop();
    this.job?.stop();
    this.taking?.stop();
    window.removeEventListener('hashchange', this.restore);
  }

  build() {
    const parts = this.parts = {
      play: make('button', { type: 'button', class: 'primary', onclick: () => (this.#frame ? this.stop() : this.play()) }, 'Play'),
      scrub: make('input', { type: 'range', min: '0', max: '1', step: '0.001', 'aria-label': 'Time, from noise to data', oninput: (e) => { this.stop(); this.set({ at: Number(e.target.value) }); } }),
      time: make('p', { class: 'small muted facts-line', 'aria-hidden': 'true' }), legend: make('div', { class: 'legend' }),
      learn: make('button', { type: 'button', onclick: () => this.learn() }, 'Train a network on it'),
      progress: make('progress', { class: 'bar', max: '1', value: '0', hidden: true, 'aria-label': 'Training' }),
      note: make('p', { class: 'small muted', role: 'status' }),
      pen: make('div', { class: 'row', hidden: true }), caption: make('figcaption', {}),
      model: make('select', { onchange: (e) => { this.set({ model: e.target.value }); this.take(true); } }),
      about: make('p', { class: 'small muted', role: 'status' }),
    };
    parts.models = make('label', { class: 'field', hidden: true }, make('span', {}, 'Or take one that is trained'), parts.model);
    this.exact = make('demist-field');
    this.other = make('demist-field');
    for (const one of [this.exact, this.other]) {
      one.addEventListener('probe', ({ detail }) => this.set(detail));
      one.addEventListener('draw', ({ detail }) => this.add(detail));
    }
    this.exact.addEventListener('drawn', ({ detail }) => { this.drawn = detail.ms; this.legend(); });
    parts.second = make('figure', { class: 'pane', hidden: true }, parts.caption, this.other);
    parts.way = segments('Direction of time', [['back', 'Noise → data'], ['forth', 'Data → noise']], (way) => { this.stop(); this.set({ way }); });
    parts.class = segments('Guidance towards', [['all', 'none'], ['0', ''], ['1', '']], (value) => this.set({ class: value }));
    this.replaceChildren(
      make('div', { class: 'head' }, make('h1', {}, 'Field'),
        make('p', {}, 'In the plane the score is a field of arrows: each points to where data are likelier. ', make('strong', {}, 'Drag the slider'), ' from noise to data, and the ring to ask at one place.')),
      make('div', { class: 'river' },
        make('section', { class: 'card stack tight', 'aria-label': 'The field' },
          make('div', { class: 'row spread' }, this.shapes(), parts.way),
          parts.pen,
          make('div', { class: 'panes' }, make('figure', { class: 'pane' }, make('figcaption', {}, 'exact score'), this.exact), parts.second),
          parts.legend,
          make('div', { class: 'row transport' }, parts.play, parts.scrub), parts.time),
        make('div', { class: 'stack side' },
          make('section', { class: 'card stack tight' }, make('h2', {}, 'Guidance'),
            make('p', {}, 'Two scores: of all data, and of one class. Guidance goes from the first through the second, and beyond it where the scale is above 1.'),
            parts.class, this.slider('scale', 'Scale', 0, 8, 0.1)),
          make('section', { class: 'card stack tight' }, make('h2', {}, 'A network learns it'),
            make('p', {}, 'It sees noisy points and learns to point back: seconds on a CPU. Watch its arrows turn.'),
            make('div', { class: 'row' }, parts.learn), parts.progress, parts.note, parts.models, parts.about))),
      make('section', { class: 'card' }, make('h2', {}, 'What is drawn'), make('div', { class: 'controls' },
        this.choice('solver', 'Solver', [...ODE, ...SDE].map((s) => [s, s])), this.slider('steps', 'Steps', 1, 100, 1),
        this.choice('schedule', 'Schedule', SCHEDULES.map((s) => [s, s])), this.slider('particles', 'Particles', 0, 600, 10),
        this.slider('width', 'Width of a point', 0.03, 0.6, 0.01),
        make('div', { class: 'field' }, make('span', {}, 'Draw'), make('div', { class: 'row' },
          ['arrows', 'contours', 'trails'].map((name) => make('label', {}, parts[name] = make('input', { type: 'checkbox', onchange: (e) => this.set({ [name]: e.target.checked }) }), name)))),
        make('div', { class: 'field' }, make('span', {}, 'Noise'), make('button', { type: 'button', onclick: () => this.set({ seed: this.state.seed + 1 }) }, 'Draw other noise')))));
  }

  shapes() {
    return (this.parts.shape = segments('Data', [...NAMES.map((n) => [n, n === '25-gaussians' ? '25 Gaussians' : n]), ['own', 'own']], (name) => this.set({ shape: name })));
  }

  slider(name, label, min, max, step) {
    const input = this.parts[name] = make('input', { type: 'range', min: String(min), max: String(max), step: String(step), oninput: (e) => this.set({ [name]: Number(e.target.value) }) });
    const output = this.parts[`${name}-output`] = make('span', { class: 'shown' });
    return make('label', { class: 'field' }, make('span', { class: 'row spread' }, label, output), input);
  }

  choice(name, label, options) {
    this.parts[name] = make('select', { onchange: (e) => this.set({ [name]: e.target.value }) }, options.map(([value, text]) => make('option', { value }, text)));
    return make('label', { class: 'field' }, make('span', {}, label), this.parts[name]);
  }

  set(changes) {
    this.state = sane({ ...this.state, ...changes });
    this.show();
  }

  add({ x, y }) {
    const name = this.#pen === 0 ? 'first' : 'second';
    if (this.state.first.length + this.state.second.length >= 2 * MOST) { say(`${MOST} points are enough for this page.`); return; }
    this.set({ [name]: [...this.state[name], Math.round(x * 100) / 100, Math.round(y * 100) / 100] });
  }

  // What was computed for a key, or computed now: those used last are kept.
  once(key, compute) {
    const found = this.#cache.has(key) ? this.#cache.get(key) : compute();
    this.#cache.delete(key);
    this.#cache.set(key, found);
    if (this.#cache.size > 12) this.#cache.delete(this.#cache.keys().next().value);
    return found;
  }

  data() {
    const { shape: name, first, second, width } = this.state;
    const found = this.once(`data ${name} ${name === 'own' ? `${first};${second}` : ''}`, () => (name === 'own'
      ? { points: Float64Array.of(...first, ...second), classes: Uint8Array.from({ length: (first.length + second.length) / 2 }, (_, i) => (i < first.length / 2 ? 0 : 1)) }
      : shape(name)));
    const key = `${name} ${[...found.points].slice(0, name === 'own' ? undefined : 0)} ${width}`;
    const of = (k) => Float64Array.from([...found.points].filter((_, i) => k === null || found.classes[i >> 1] === k));
    const mixture = (k) => this.once(`mixture ${key} ${k} ${first.length}`, () => new Mixture(of(k), 2, width * width));
    return { ...found, key, mixture };
  }

  show() {
    const { state, parts } = this;
    if (!this.#frame && mine()) write(state, DEFAULTS);
    for (const name of ['shape', 'way', 'class']) for (const b of parts[name].children) b.setAttribute('aria-pressed', String(b.dataset.value === state[name]));
    const [one, two] = classNames(state.shape);
    parts.class.children[1].textContent = one;
    parts.class.children[2].textContent = two;
    for (const name of ['solver', 'schedule']) parts[name].value = state[name];
    for (const [name, text] of [['steps', state.steps], ['particles', state.particles], ['width', `σ = ${state.width.toFixed(2)}`], ['scale', state.scale.toFixed(1)]]) {
      parts[name].value = String(state[name]);
      parts[`${name}-output`].textContent = String(text);
    }
    for (const name of ['arrows', 'contours', 'trails']) parts[name].checked = state[name];
    parts.model.value = state.model;
    parts.scrub.value = String(state.at);
    parts.play.textContent = this.#frame ? 'Pause' : 'Play';
    this.pens();
    this.draw();
  }

  pens() {
    const { pen } = this.parts, { shape: name, first, second } = this.state;
    pen.hidden = name !== 'own';
    const key = `${this.#pen} ${first.length} ${second.length}`;
    if (pen.hidden || pen.dataset.key === key) return;
    pen.dataset.key = key;
    pen.replaceChildren(make('span', { class: 'muted' }, `Click or drag in the picture: ${(first.length + second.length) / 2} points.`),
      ...['first colour ○', 'second colour □'].map((label, i) => make('button', { type: 'button', 'aria-pressed': String(this.#pen === i), onclick: () => { this.#pen = i; this.pens(); } }, label)),
      make('button', { type: 'button', class: 'quiet', onclick: () => this.set({ first: [], second: [] }) }, 'Clear'));
  }

  draw() {
    const { state } = this, data = this.data(), route = this.once(`schedule ${state.schedule}`, () => schedule(state.schedule));
    const empty = data.points.length === 0;
    const all = empty ? new Mixture([0, 0], 2, 1) : data.mixture(null);
    const base = exact(all, route);
    const wanted = state.class === 'all' ? null : Number(state.class);
    const some = !empty && wanted !== null && data.classes.includes(wanted);
    const pair = some ? { conditional: exact(data.mixture(wanted), route), unconditional: base, scale: state.scale } : null;
    const model = pair ? guided(pair.conditional, pair.unconditional, state.scale) : base;
    const moving = { solver: state.solver, steps: state.steps, count: state.particles, seed: state.seed };
    const key = `${data.key} ${state.schedule} ${JSON.stringify(moving)}`;
    const back = state.way === 'back';
    const frames = (name, of) => (state.particles === 0 || empty ? null
      : this.once(`${name} ${key}`, () => (back ? backwards(of, moving) : forwards(all, route, { ...moving, steps: 60 }))));
    const scene = {
      mixture: all, classes: data.classes, at: state.at, probe: { x: state.x, y: state.y }, rising: !back,
      show: { arrows: state.arrows, contours: state.contours, trails: state.trails }, drawing: state.shape === 'own',
    };
    const words = `${data.points.length / 2} points of the shape ${state.shape} at time t = ${(1 - state.at).toFixed(2)}, as heat map of the density with ${state.particles} particles`;
    this.exact.scene = { ...scene, model, pair, frames: frames(back ? `back ${state.class} ${pair ? state.scale : ''}` : 'forth', model), words: `${words} and arrows of the exact score.` };
    const taken = state.model && this.#taken?.id === state.model ? this.#taken : null;
    const fits = !state.model && this.#learned && this.#learned.key === `${data.key} ${state.schedule}`;
    this.parts.second.hidden = !fits && !taken;
    this.parts.caption.textContent = taken ? `learned score of ${taken.told.name}` : 'learned score';
    if (taken) {
      const net = this.once(`model ${taken.id} ${state.schedule}`, () => learned(taken.buffer, route));
      this.other.scene = {
        ...scene, model: net, pair: null, words: `${words} and arrows of the score that ${taken.told.name} learned.`,
        frames: back && state.particles ? this.grown(`${taken.id} ${key}`, net, moving) : frames('forth', model),
      };
      this.about(taken, net, base, all, empty ? null : `apart ${taken.id} ${data.key} ${state.schedule}`);
    } else if (fits) {
      const { model: net, version, done } = this.#learned;
      // while it trains only few particles show the way, so that the page stays quick
      const few = done ? moving : { ...moving, count: Math.min(60, state.particles), steps: Math.min(15, state.steps) };
      this.other.scene = {
        ...scene, model: net, pair: null, words: `${words} and arrows of a learned score.`,
        frames: back && state.particles && !this.#frame || done && back ? this.once(`net ${version} ${key}`, () => backwards(net, few)) : frames('forth', model),
      };
    }
    const [alpha, sigma] = route.at(1 - state.at);
    this.parts.time.textContent = `t = ${(1 - state.at).toFixed(2)}: signal α = ${alpha.toFixed(2)}, noise σ = ${sigma.toFixed(2)}. ${empty ? 'Draw a point to begin.' : back ? 'Particles follow the score back to the data.' : 'Noise carries the data away.'}`;
  }

  // Particles of a model that takes long, some more with each picture.
  grown(key, model, moving) {
    const kept = this.once(`grown ${key}`, () => ({ frames: null, done: 0, busy: false }));
    if (kept.done < moving.count && !kept.busy) {
      kept.busy = true;
      setTimeout(() => {
        kept.busy = false;
        if (!this.isConnected) return;
        const end = Math.min(moving.count, kept.done + Math.max(4, Math.floor(SLICE / (model.cost * moving.steps))));
        const part = backwards(model, { ...moving, begin: kept.done, end });
        kept.frames = kept.frames ? { times: part.times, states: part.states.map((x, i) => Float64Array.of(...kept.frames.states[i], ...x)) } : part;
        kept.done = end;
        this.draw();
      });
    }
    return kept.frames;
  }

  // Which model it is, what it learned, and how far it is from the exact score beside it.
  about({ told }, net, base, mixture, key) {
    const { shape: name } = this.state, own = told.data === name;
    const words = [
      `${told.name}${told.step ? `, after ${number(told.step)} steps` : ''}: an MLP of ${number(told.numbers)} numbers, which learned ${told.data ?? 'data without a name'}${told.items ? ` (${number(told.items)} items)` : ''} on the path ${told.schedule}.`,
      told.conditions.length ? `It is not told the ${told.conditions.join(', ')}.` : '',
      told.units === 'data' ? '' : 'It is drawn as it sees its data, of mean 0 and variance 1.',
      own ? '' : `The exact score is of ${name === 'own' ? 'your points' : name}, which it did not learn.`,
      key && own ? `Its noise differs from the exact one by ${number(this.once(key, () => apart(base, net, mixture)), 2)} on average (root mean square; pure noise has 1).` : '',
    ];
    this.parts.about.textContent = words.filter(Boolean).join(' ');
  }

  legend() {
    const guidance = this.exact.scene.pair !== null;
    const key = `${this.exact.dark} ${guidance} ${this.state.class} ${this.state.shape}`;
    const { legend } = this.parts;
    if (legend.dataset.key === key) return;
    legend.dataset.key = key;
    const ramp = make('canvas', { class: 'ramp', width: 120, height: 1, 'aria-hidden': 'true' }), pen = ramp.getContext('2d');
    for (let i = 0; i < 120; i++) { pen.fillStyle = colour((i / 119) * (220 / 255), this.exact.dark ? 'deep' : 'water'); pen.fillRect(i, 0, 1, 1); }
    const swatch = (kind, text) => make('span', {}, make('i', { class: `swatch ${kind}` }), text);
    legend.replaceChildren(make('span', { class: 'row' }, '0', ramp, '1 density, as a share of its highest'),
      make('span', {}, 'arrows: σ · score, 1 long per unit of x at the ring'), swatch('particle', 'particles'),
      ...(guidance ? [swatch('all', 'score of all data'), swatch('class', `score of “${classNames(this.state.shape)[Number(this.state.class)]}”`), swatch('beyond', 'guided')] : [swatch('all', 'score at the ring')]));
  }

  play() {
    const back = this.state.way === 'back', goal = back ? 1 : 0;
    if (Math.abs(this.state.at - goal) < 1e-3) this.state.at = 1 - goal;
    let last = performance.now();
    const beat = (now) => {
      this.state.at = Math.min(1, Math.max(0, this.state.at + ((back ? 1 : -1) * Math.max(0, now - last)) / 1000 / SECONDS));
      last = now;
      this.parts.scrub.value = String(this.state.at);
      this.draw();
      if (this.state.at !== goal) this.#frame = requestAnimationFrame(beat);
      else this.stop();
    };
    this.#frame = requestAnimationFrame(beat);
    this.parts.play.textContent = 'Pause';
  }

  stop() {
    const ran = this.#frame !== 0;
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (ran && this.isConnected) this.show();
  }

  // Models of points in the plane, whoever trained them.
  async list() {
    const { model, models } = this.parts;
    try {
      const found = (await get('/api/models')).filter((m) => m.shape.length === 1 && m.shape[0] === 2);
      models.hidden = !found.length;
      model.replaceChildren(make('option', { value: '' }, 'none'),
        ...found.map((m) => make('option', { value: m.id }, m.data ? `${m.name}, of ${m.data}` : m.name)));
      model.value = this.state.model;
    } catch (error) { say(error.message, 'bad'); }
  }

  // The weights of the model that was chosen; `settle`: with the data and the path that it learned.
  async take(settle = false) {
    const { model: id } = this.state, { about } = this.parts;
    if (!id || this.#taken?.id === id) { if (!id) about.textContent = ''; return; }
    about.textContent = 'The worker opens it …';
    try {
      this.taking?.stop();
      this.taking = await start('learned_points', { model: id }, async ({ type, job, message }) => {
        if (type === 'failed' || type === 'cancelled') about.textContent = message ?? 'Stopped.';
        if (type !== 'done') return;
        this.taking?.stop();
        const [told, weights] = await Promise.all(['learned.json', WEIGHTS].map((name) => fetch(file(job, name), { credentials: 'same-origin' })));
        this.#taken = { id, told: await told.json(), buffer: await weights.arrayBuffer() };
        if (!this.isConnected || this.state.model !== id) return;
        const { data, schedule: path } = this.#taken.told;
        this.set(settle ? { shape: NAMES.includes(data) ? data : this.state.shape, schedule: path } : {});
      });
    } catch (error) { about.textContent = error.message; }
  }

  // A job of the worker: its weights are shown while they change.
  async learn() {
    const { learn, progress, note } = this.parts, { state } = this, data = this.data();
    if (this.job) { this.job.cancel().catch((error) => say(error.message, 'bad')); return; }
    if (!data.points.length) { say('Draw a point first: there is nothing to learn yet.'); return; }
    const key = `${data.key} ${state.schedule}`, route = schedule(state.schedule);
    const points = Array.from({ length: data.points.length / 2 }, (_, i) => [data.points[2 * i], data.points[2 * i + 1]]);
    let version = 0;
    const load = async (url, done = false) => {
      const answer = await fetch(url, { credentials: 'same-origin' });
      if (!answer.ok || (this.#learned?.key === key && this.#learned.done && !done)) return;
      this.#learned = { key, model: learned(await answer.arrayBuffer(), route), done, version: `${url} ${done}` };
      if (this.isConnected) this.draw();
    };
    const newest = latest((url) => load(url));
    const over = (text) => {
      this.job?.stop();
      this.job = null;
      progress.hidden = true;
      learn.textContent = 'Train a network on it';
      note.textContent = text;
    };
    learn.textContent = 'Stop';
    progress.hidden = false;
    progress.value = 0;
    note.textContent = 'The worker wakes up …';
    try {
      this.#learned = null;
      this.set({ model: '' });
      this.parts.about.textContent = '';
      this.job = await start('learn_points', { points, width: state.width, schedule: state.schedule }, async (event) => {
        if (event.type === 'step') {
          progress.value = event.step / event.of;
          note.textContent = `step ${number(event.step)} of ${number(event.of)}, loss ${number(event.facts.loss, 3)}`;
        } else if (event.type === 'preview') newest(file(event.job, WEIGHTS, ++version));
        else if (event.type === 'done') {
          const facts = await (await fetch(file(event.job, 'learned.json'), { credentials: 'same-origin' })).json();
          over(`Learned. Its noise differs from the exact one by ${number(Math.sqrt(facts.error), 2)} on average (root mean square; pure noise has 1).`);
          await load(file(event.job, WEIGHTS, ++version), true);
        } else if (event.type === 'failed' || event.type === 'cancelled') over(event.message ?? 'Stopped.');
      });
    } catch (error) { over(''); say(error.message, 'bad'); }
  }
}

// Whether the address is still of this page, which leaves the stage a little after its address.
const mine = () => parse(location.hash).page === 'field';

function segments(label, options, choose) {
  return make('div', { class: 'segments', role: 'group', 'aria-label': label },
    options.map(([value, text]) => make('button', { type: 'button', 'data-value': value, onclick: () => choose(value) }, text)));
}

function sane(state) {
  const within = (v, low, high, like) => (Number.isFinite(v) ? Math.min(high, Math.max(low, v)) : like);
  const of = (v, names, like) => (names.includes(v) ? v : like);
  const pairs = (list) => list.slice(0, 2 * Math.min(MOST, Math.floor(list.length / 2))).map((v) => within(v, -REACH, REACH, 0));
  return {
    shape: of(state.shape, [...NAMES, 'own'], 'moons'), first: pairs(state.first), second: pairs(state.second),
    width: within(state.width, 0.03, 0.6, 0.1), schedule: of(state.schedule, SCHEDULES, 'cosine'),
    solver: of(state.solver, [...ODE, ...SDE], 'adams'), steps: Math.round(within(state.steps, 1, 100, 40)),
    particles: Math.round(within(state.particles, 0, 600, 250)), seed: Math.round(within(state.seed, 0, 1e9, 1)),
    at: within(state.at, 0, 1, 0.55), way: of(state.way, ['back', 'forth'], 'back'), class: of(state.class, ['all', '0', '1'], 'all'),
    scale: within(state.scale, 0, 8, 2), arrows: Boolean(state.arrows), contours: Boolean(state.contours), trails: Boolean(state.trails),
    x: within(state.x, -REACH, REACH, 0), y: within(state.y, -REACH, REACH, 0),
    model: /^(run|model|folder)-[\w.-]{1,80}$/.test(state.model) ? state.model : '',
  };
}

customElements.define('demist-field-page', FieldPage);
export default { title: 'Field', element: 'demist-field-page' };
