// River: one-dimensional data, drowned in noise and carried back. All of it is computed in the page.
import { REACH, shown } from '../elements/river.js';
import { GRIDS } from '../lib/diffusion/grids.js';
import { nearest } from '../lib/diffusion/flow.js';
import { SCHEDULES } from '../lib/diffusion/schedules.js';
import { ODE, SDE, solver } from '../lib/diffusion/solvers.js';
import { colour } from '../lib/colour.js';
import { make, still } from '../lib/dom.js';
import { parse, read, write } from '../lib/state.js';

const MOST = 6; // data
const SECONDS = 6; // from noise to data, at speed 1
const DEFAULTS = {
  data: [8], solver: 'adams', steps: 20, schedule: 'cosine', grid: 'auto', paths: 24, path: 6, width: 0.2,
  across: 'time', x0: true, seed: 1, at: 1, speed: 1,
};

class RiverPage extends HTMLElement {
  #frame = 0;
  #last = 0;
  #riddle = null;
  #score = { right: 0, of: 0 };

  connectedCallback() {
    this.state = sane(read(DEFAULTS));
    if (parse(location.hash).page === '') history.replaceState(null, '', '#/river');
    this.setAttribute('class', 'stack');
    this.build();
    this.restore = () => { if (!mine()) return; this.state = sane(read(DEFAULTS)); this.riddle(null); this.show(); };
    window.addEventListener('hashchange', this.restore);
    this.show();
    if (!still() && !location.hash.includes('?')) { this.state.at = 0; this.play(); }
  }

  disconnectedCallback() {
    this.stop();
    window.removeEventListener('hashchange', this.restore);
  }

  build() {
    this.river = make('demist-river');
    this.river.addEventListener('datum', ({ detail }) => this.move(detail));
    this.river.addEventListener('remove', ({ detail }) => this.remove(detail.index));
    this.river.addEventListener('choose', ({ detail }) => this.set({ path: detail.path }));
    this.river.addEventListener('mark', ({ detail }) => { this.#riddle.guess = detail.value; this.answer(); });
    this.river.addEventListener('drawn', ({ detail }) => { this.drawn = detail.ms; this.tell(); });
    this.parts = {
      play: make('button', { type: 'button', class: 'primary', onclick: () => (this.#frame ? this.stop() : this.play()) }, 'Play'),
      scrub: make('input', { type: 'range', min: '0', max: '1', step: '0.001', 'aria-label': 'Time, from noise to data', oninput: (e) => { this.stop(); this.set({ at: Number(e.target.value) }); } }),
      facts: make('p', { class: 'small muted facts-line' }), legend: make('div', { class: 'legend' }),
      data: make('div', { class: 'row data' }), riddle: make('div', { class: 'stack tight' }),
    };
    const { play, scrub, facts, legend, data, riddle } = this.parts;
    this.replaceChildren(
      make('div', { class: 'head' }, make('h1', {}, 'River'),
        make('p', {}, 'Noise flows in at the left and arrives as data at the right. ', make('strong', {}, 'Drag the 8.'), ' Then add a number, and the river forks.')),
      make('div', { class: 'river' },
        make('section', { class: 'card stack tight', 'aria-label': 'The river' }, data, this.river, legend,
          make('div', { class: 'row transport' }, play, scrub, this.choice('speed', 'Speed', [['0.5', '½×'], ['1', '1×'], ['2', '2×'], ['4', '4×']])),
          facts),
        make('div', { class: 'stack side' },
          make('section', { class: 'card' }, make('h2', {}, 'What you see'), words()),
          make('section', { class: 'card' }, make('h2', {}, 'Where will it end?'), riddle))),
      this.controls());
    this.riddle(null);
  }

  controls() {
    const kind = make('div', { class: 'segments', role: 'group', 'aria-label': 'Without or with fresh noise' },
      ['ODE', 'SDE'].map((name) => make('button', { type: 'button', 'data-kind': name, onclick: () => this.kind(name) }, name)));
    this.parts.kind = kind;
    this.parts.solver = make('select', { onchange: (e) => this.set({ solver: e.target.value }) });
    return make('section', { class: 'card' }, make('h2', {}, 'How it flows'), make('div', { class: 'controls' },
      make('div', { class: 'field' }, make('span', {}, 'Kind'), kind),
      field('Solver', this.parts.solver),
      this.slider('steps', 'Steps', 1, 100, 1),
      this.choice('schedule', 'Schedule', SCHEDULES.map((s) => [s, s])),
      this.choice('grid', 'Grid of times', [['auto', 'the solver’s own'], ...GRIDS.map((g) => [g, g])]),
      this.slider('paths', 'Paths', 1, 100, 1),
      this.slider('path', 'Chosen path', 1, 24, 1, 1),
      this.slider('width', 'Width of a datum', 0.05, 2, 0.05),
      this.choice('across', 'Across', [['time', 'time t'], ['noise', 'angle of noise']]),
      make('div', { class: 'field' }, make('span', {}, 'Draw'), make('div', { class: 'row' },
        make('label', {}, this.parts.x0 = make('input', { type: 'checkbox', onchange: (e) => this.set({ x0: e.target.checked }) }), 'predicted x0'),
        make('button', { type: 'button', onclick: () => this.set({ seed: this.state.seed + 1 }) }, 'Other noise')))));
  }

  choice(name, label, options) {
    this.parts[name] = make('select', { onchange: (e) => this.set({ [name]: typeof DEFAULTS[name] === 'number' ? Number(e.target.value) : e.target.value }) },
      options.map(([value, text]) => make('option', { value }, text)));
    return name === 'speed' ? (this.parts.speed.setAttribute('aria-label', label), this.parts.speed) : field(label, this.parts[name]);
  }

  slider(name, label, min, max, step, add = 0) {
    const input = make('input', { type: 'range', min: String(min), max: String(max), step: String(step), oninput: (e) => this.set({ [name]: Number(e.target.value) - add }) });
    const output = make('span', { class: 'shown' });
    this.parts[name] = input;
    this.parts[`${name}-output`] = output;
    return make('label', { class: 'field' }, make('span', { class: 'row spread' }, label, output), input);
  }

  set(changes) {
    this.state = sane({ ...this.state, ...changes });
    if (this.#riddle && !('at' in changes) && !('speed' in changes)) this.riddle(null);
    this.show();
  }

  kind(name) {
    if (solver(this.state.solver).stochastic !== (name === 'SDE')) this.set({ solver: solver(this.state.solver).partner });
  }

  move({ index, value, done }) {
    const data = this.state.data.slice();
    data[index] = value;
    this.moving = !done;
    this.set({ data });
  }

  add() {
    // Into the widest gap, so that the fork is seen at once.
    const sorted = [-REACH - 4, ...this.state.data.slice().sort((a, b) => a - b), REACH + 4];
    let best = 0;
    for (let i = 1; i + 1 < sorted.length; i++) if (sorted[i + 1] - sorted[i] > sorted[best + 1] - sorted[best]) best = i;
    const middle = (sorted[best] + sorted[best + 1]) / 2;
    this.set({ data: [...this.state.data, Math.round(10 * Math.max(-8, Math.min(8, middle))) / 10] });
  }

  remove(index) {
    if (this.state.data.length < 2) return;
    this.set({ data: this.state.data.filter((_, i) => i !== index) });
    this.river.querySelector('[role="slider"]')?.focus();
  }

  // Everything on the page from the state.
  show() {
    const { state, parts } = this;
    if (this.#riddle === null || this.#riddle.over) {
      if (!this.#frame && !this.moving && mine()) write(state, DEFAULTS);
    }
    const made = solver(state.solver, state.steps);
    for (const button of parts.kind.children) button.setAttribute('aria-pressed', String((button.dataset.kind === 'SDE') === made.stochastic));
    const names = made.stochastic ? SDE : ODE;
    if (parts.solver.dataset.kind !== String(made.stochastic)) {
      parts.solver.replaceChildren(...names.map((name) => make('option', { value: name }, name)));
      parts.solver.dataset.kind = String(made.stochastic);
    }
    for (const name of ['solver', 'schedule', 'grid', 'across', 'speed']) parts[name].value = String(state[name]);
    for (const [name, text] of [['steps', state.steps], ['paths', state.paths], ['width', `σ = ${state.width.toFixed(2)}`]]) {
      parts[name].value = String(state[name]);
      parts[`${name}-output`].textContent = String(text);
    }
    parts.path.max = String(state.paths);
    parts.path.value = String(state.path + 1);
    parts['path-output'].textContent = `${state.path + 1} of ${state.paths}`;
    parts.x0.checked = state.x0;
    parts.scrub.value = String(state.at);
    parts.play.textContent = this.#frame ? 'Pause' : 'Play';
    parts.play.disabled = parts.scrub.disabled = this.#riddle !== null;
    this.chips();
    this.draw();
  }

  draw() {
    const { state } = this, riddle = this.#riddle;
    const { data, width, schedule, grid, steps, across } = state;
    const common = { data, width, schedule, solver: state.solver, grid, steps, across, showX0: state.x0 };
    this.river.scene = riddle
      ? { ...common, paths: 1, seed: riddle.seed, chosen: 0, at: riddle.at, guess: riddle.guess, hidden: !riddle.over, showX0: riddle.over && state.x0 }
      : { ...common, paths: state.paths, seed: state.seed, chosen: state.path, at: state.at, guess: null, hidden: false };
  }

  // The data as numbers to type, remove and add.
  chips() {
    const { data } = this.parts, values = this.state.data;
    if (data.dataset.count !== String(values.length)) {
      data.dataset.count = String(values.length);
      data.replaceChildren(make('span', { class: 'muted' }, 'Data'), ...values.map((_, i) => make('span', { class: 'datum' },
        make('input', { type: 'number', min: String(-REACH), max: String(REACH), step: '0.1', 'aria-label': `Datum ${i + 1}`, onchange: (e) => this.move({ index: i, value: Number(e.target.value) || 0, done: true }) }),
        values.length > 1 ? make('button', { class: 'quiet', type: 'button', 'aria-label': `Remove datum ${i + 1}`, onclick: () => this.remove(i) }, '×') : null)),
      make('button', { type: 'button', class: 'add', disabled: values.length >= MOST, onclick: () => this.add() }, 'Add a number'));
    }
    values.forEach((v, i) => { const box = data.children[i + 1].firstChild; if (document.activeElement !== box) box.value = String(v); });
  }

  tell() {
    const { state } = this, found = this.river.found, hidden = this.#riddle && !this.#riddle.over;
    const path = this.#riddle ? 0 : state.path, start = found.states[0][path], end = found.states.at(-1)[path];
    const steps = found.times.length - 1;
    const fewer = steps < state.steps ? ` (of ${state.steps} asked for, the rest lie out of the schedule’s reach)` : '';
    const how = `${state.solver} in ${steps} ${steps === 1 ? 'step' : 'steps'}${fewer}`;
    this.parts.facts.textContent = hidden ? 'One path, one start. Where does it end?'
      : `The chosen path starts at ${shown(start)} and ends at ${shown(end)}: ${how}.`;
    const key = `${document.documentElement.dataset.theme}${this.river.dark}${state.x0}`;
    if (this.parts.legend.dataset.key === key) return;
    this.parts.legend.dataset.key = key;
    const ramp = make('canvas', { class: 'ramp', width: 120, height: 1, 'aria-hidden': 'true' }), pen = ramp.getContext('2d');
    for (let i = 0; i < 120; i++) { pen.fillStyle = colour(i / 119, this.river.dark ? 'deep' : 'water'); pen.fillRect(i, 0, 1, 1); }
    this.parts.legend.replaceChildren(
      make('span', { class: 'row' }, '0', ramp, '1 density, relative to its highest at that time'),
      make('span', {}, make('i', { class: 'swatch chosen' }), 'chosen path, a dot a step'),
      ...(state.x0 ? [make('span', {}, make('i', { class: 'swatch x0' }), 'its predicted x0')] : []));
  }

  play() {
    if (this.state.at >= 1) this.state.at = 0;
    this.#last = performance.now();
    const beat = (now) => {
      const by = ((now - this.#last) / 1000 / SECONDS) * this.state.speed;
      this.#last = now;
      this.state.at = Math.min(1, this.state.at + Math.max(0, by));
      this.parts.scrub.value = String(this.state.at);
      this.draw();
      if (this.state.at < 1) this.#frame = requestAnimationFrame(beat);
      else this.stop();
    };
    this.#frame = requestAnimationFrame(beat);
    this.parts.play.textContent = 'Pause';
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.isConnected) { this.parts.play.textContent = 'Play'; this.show(); }
  }

  // The riddle: null, or one path whose end is to be foretold before it is shown.
  riddle(next) {
    this.#riddle = next;
    const { riddle } = this.parts, score = this.#score;
    const kept = score.of ? make('p', { class: 'score' }, `${score.right} of ${score.of} right`) : null;
    const again = make('button', { type: 'button', onclick: () => this.begin() }, next || score.of ? 'Another path' : 'Give me a path');
    if (next === null) {
      riddle.replaceChildren(make('p', {}, 'One path starts in the noise. Foretell its end, then watch.'), make('div', { class: 'row spread' }, again, kept));
    } else if (!next.over) {
      const mark = make('input', { type: 'number', min: String(-REACH), max: String(REACH), step: '0.1', value: String(next.guess ?? ''), 'aria-label': 'Your guess', oninput: (e) => { next.guess = e.target.value === '' ? null : Number(e.target.value); this.draw(); }, onkeydown: (e) => { if (e.key === 'Enter') this.answer(); } });
      riddle.replaceChildren(make('p', {}, 'Click in the picture at the height where it will end, or type it.'),
        make('div', { class: 'row' }, mark, make('button', { type: 'button', class: 'primary', onclick: () => this.answer() }, 'Show me'),
          make('button', { type: 'button', class: 'quiet', onclick: () => { this.riddle(null); this.show(); } }, 'Leave it')));
    } else {
      const words = next.well ? 'Yes.' : 'Not this time.';
      const why = solver(this.state.solver).stochastic && this.state.data.length > 1
        ? ' An SDE draws fresh noise in every step, so nobody can be sure.' : '';
      riddle.replaceChildren(make('p', { role: 'status' }, make('strong', {}, words), ` It ended at ${shown(next.end)}.${why}`),
        make('div', { class: 'row spread' }, make('div', { class: 'row' }, again, make('button', { type: 'button', class: 'quiet', onclick: () => { this.riddle(null); this.show(); } }, 'Back to all')), kept));
    }
  }

  begin() {
    this.stop();
    this.count = (this.count ?? 0) + 1;
    this.riddle({ seed: 1000 + 37 * this.count + this.state.seed, at: 0, guess: null, over: false });
    this.show();
    this.parts.riddle.querySelector('input')?.focus();
  }

  answer() {
    const riddle = this.#riddle;
    if (!riddle || riddle.over || riddle.guess === null) return;
    riddle.end = this.river.found.states.at(-1)[0];
    riddle.well = nearest(this.state.data, riddle.guess) === nearest(this.state.data, riddle.end)
      && Math.abs(riddle.guess - riddle.end) < 1.5;
    const over = () => {
      riddle.at = 1;
      riddle.over = true;
      this.#score.of += 1;
      this.#score.right += riddle.well ? 1 : 0;
      this.riddle(riddle);
      this.show();
    };
    if (still()) { over(); return; }
    const began = performance.now();
    const beat = (now) => {
      if (this.#riddle !== riddle || !this.isConnected) return;
      riddle.at = Math.min(1, (now - began) / 2500);
      this.draw();
      if (riddle.at < 1) requestAnimationFrame(beat); else over();
    };
    requestAnimationFrame(beat);
  }
}

// Whether the address is still of this page, which leaves the stage a little after its address.
const mine = () => parse(location.hash).page === 'river';

const field = (label, input) => make('label', { class: 'field' }, make('span', {}, label), input);

const words = () => make('ul', { class: 'points' },
  make('li', {}, make('strong', {}, 'Right to left: '), 'noise drowns the number, until only noise is left.'),
  make('li', {}, make('strong', {}, 'Left to right: '), 'each path asks “which number was this, most likely?” (dashed) and takes a step that way.'),
  make('li', {}, make('strong', {}, 'That is diffusion. '), 'A picture is such a point with many numbers; a network learns the answer that is exact here.'));

// Values from the address may be anything: what makes no sense becomes the nearest that does.
function sane(state) {
  const within = (v, low, high, like) => (Number.isFinite(v) ? Math.min(high, Math.max(low, v)) : like);
  const of = (v, names, like) => (names.includes(v) ? v : like);
  const data = state.data.slice(0, MOST).map((v) => within(v, -REACH, REACH, 0));
  const paths = Math.round(within(state.paths, 1, 100, DEFAULTS.paths));
  return {
    data: data.length ? data : DEFAULTS.data.slice(),
    solver: of(state.solver, [...ODE, ...SDE], DEFAULTS.solver),
    schedule: of(state.schedule, SCHEDULES, DEFAULTS.schedule),
    grid: of(state.grid, ['auto', ...GRIDS], 'auto'),
    across: of(state.across, ['time', 'noise'], 'time'),
    steps: Math.round(within(state.steps, 1, 100, DEFAULTS.steps)),
    paths, path: Math.round(within(state.path, 0, paths - 1, 0)),
    width: within(state.width, 0.05, 2, DEFAULTS.width),
    seed: Math.round(within(state.seed, 0, 1e9, 1)),
    at: within(state.at, 0, 1, 1), speed: of(state.speed, [0.5, 1, 2, 4], 1), x0: Boolean(state.x0),
  };
}

customElements.define('demist-river-page', RiverPage);
export default { title: 'River', element: 'demist-river-page' };
