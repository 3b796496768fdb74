// Elements of the studio in a page of the site: what stands in <figure class="live" data-live="river">
// (demist/course/live.py) is shown by the studio's own files, and plays once when it is first seen.
import 'studio/elements/compare.js';
import 'studio/elements/curve.js';
import 'studio/elements/field.js';
import 'studio/elements/filmstrip.js';
import 'studio/elements/plots.js';
import 'studio/elements/river.js';
import { Mixture, exact, guided } from 'studio/lib/diffusion/mixture.js';
import { backwards } from 'studio/lib/diffusion/plane.js';
import { SCHEDULES, schedule } from 'studio/lib/diffusion/schedules.js';
import { classNames, shape } from 'studio/lib/diffusion/shapes.js';
import { ODE, SDE } from 'studio/lib/diffusion/solvers.js';
import { make, still } from 'studio/lib/dom.js';
import { blank, fromTrace } from 'studio/lib/pictures.js';
import { Trace } from 'studio/lib/trace.js';

const SECONDS = 5; // from noise to data

// Each gives {parts, at}: what stands in the figure, and a function of how far the time has come, if it moves.
const KINDS = { river, field, filmstrip, compare, curve };

function river({ controls = [], ...asked }) {
  const scene = {
    data: [8], width: 0.2, schedule: 'cosine', solver: 'adams', grid: 'auto', steps: 20, paths: 24, seed: 1,
    chosen: 6, across: 'time', showX0: true, at: 1, guess: null, hidden: false, ...asked,
  };
  const element = make('demist-river'), draw = () => { element.scene = scene; };
  element.addEventListener('datum', ({ detail }) => { scene.data = scene.data.map((v, i) => (i === detail.index ? detail.value : v)); draw(); });
  element.addEventListener('remove', ({ detail }) => { if (scene.data.length > 1) { scene.data = scene.data.filter((_, i) => i !== detail.index); draw(); } });
  element.addEventListener('choose', ({ detail }) => { scene.chosen = detail.path; draw(); });
  const add = make('button', { type: 'button', onclick: () => { if (scene.data.length < 6) { scene.data = [...scene.data, freest(scene.data)]; draw(); } } }, 'Add a number');
  return { parts: [element, offered(controls, scene, draw, [add])], at: (at) => { scene.at = at; draw(); } };
}

// The middle of the widest gap between numbers.
function freest(data) {
  const sorted = [-14, ...data.slice().sort((a, b) => a - b), 14];
  let best = 0;
  for (let i = 1; i + 1 < sorted.length; i++) if (sorted[i + 1] - sorted[i] > sorted[best + 1] - sorted[best]) best = i;
  return Math.round(10 * Math.max(-8, Math.min(8, (sorted[best] + sorted[best + 1]) / 2))) / 10;
}

function field({ controls = [], ...asked }) {
  const state = {
    shape: 'moons', width: 0.1, schedule: 'cosine', solver: 'adams', steps: 40, particles: 150, seed: 1, class: 'all', scale: 2,
    x: -0.6, y: 1.4, at: 1, ...asked,
  };
  const element = make('demist-field'), kept = { key: '' };
  const draw = () => {
    const { shape: name, width, solver, steps, particles: count, seed } = state, route = schedule(state.schedule);
    const { points, classes } = shape(name);
    const of = (k) => new Mixture(Float64Array.from([...points].filter((_, i) => k === null || classes[i >> 1] === k)), 2, width * width);
    const all = of(null), base = exact(all, route);
    const wanted = state.class === 'all' ? null : Number(state.class);
    const pair = wanted === null ? null : { conditional: exact(of(wanted), route), unconditional: base, scale: state.scale };
    const model = pair ? guided(pair.conditional, base, state.scale) : base;
    const key = JSON.stringify([name, width, state.schedule, solver, steps, count, seed, state.class, pair && state.scale]);
    if (kept.key !== key) Object.assign(kept, { key, frames: backwards(model, { solver, steps, count, seed }) });
    element.scene = {
      mixture: all, classes, model, pair, frames: kept.frames, at: state.at, rising: false, drawing: false,
      show: { arrows: true, contours: true, trails: true }, probe: { x: state.x, y: state.y },
      words: `${points.length / 2} points of the shape ${name} at time t = ${(1 - state.at).toFixed(2)}: heat map of the density, ${count} particles, arrows of the score.`,
    };
  };
  element.addEventListener('probe', ({ detail }) => { Object.assign(state, detail); draw(); });
  const names = { all: 'all data', 0: classNames(state.shape)[0], 1: classNames(state.shape)[1] };
  return { parts: [element, offered(controls, state, draw, [], { class: names })], at: (at) => { state.at = at; draw(); } };
}

function filmstrip({ trace: address }) {
  const trace = new Trace(bytes(address)), film = make('demist-filmstrip'), plot = make('demist-schedule');
  const large = { x: make('div', { class: 'live-large' }), x0: make('div', { class: 'live-large' }) };
  const rows = (numbers) => Array.from({ length: numbers.length / 3 }, (_, i) => [...numbers.slice(3 * i, 3 * i + 3)]);
  const times = Array.from(trace.times, (t, i) => [t, trace.alpha[i], trace.sigma[i]]);
  const show = (step) => {
    const said = `step ${step} of ${trace.steps}, time t = ${trace.times[step].toFixed(2)}`;
    for (const which of ['x', 'x0']) {
      const picture = fromTrace(trace, which, step, 0);
      picture.className = 'pixels';
      picture.setAttribute('role', 'img');
      picture.setAttribute('aria-label', `${which === 'x' ? 'noisy state' : 'predicted data'}, ${said}`);
      large[which].replaceChildren(picture, make('p', { class: 'small muted' }, which === 'x' ? 'state xₜ' : 'predicted x̂₀'));
    }
    film.show({ steps: trace.steps, step, last: trace.steps, key: 'trace', said, picture: (which, k) => fromTrace(trace, which, k, 0) });
    plot.show({ curve: rows(trace.schedule), times, step });
  };
  film.addEventListener('demist-step', ({ detail }) => { at.touched?.(); show(detail); });
  const at = (share) => show(Math.round(share * trace.steps));
  return { parts: [make('div', { class: 'live-pair' }, large.x, large.x0, plot), film], at };
}

function compare({ a, b, names }) {
  const element = make('demist-compare');
  Promise.all([a, b].map(drawn)).then(([one, two]) => element.show({ a: one, b: two, names }));
  return { parts: [element] };
}

async function drawn(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = blank(image.naturalWidth, image.naturalHeight);
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas;
}

function curve({ x, lines, ...rest }) {
  const element = make('demist-curve');
  element.data = { x, lines, ...rest };
  return { parts: [element] };
}

// The controls that a page offers, of those that its element has.
function offered(names, state, draw, more = [], words = {}) {
  const slider = (name, label, min, max, step) => {
    const shown = make('span', { class: 'shown' }, String(state[name]));
    const input = make('input', { type: 'range', min: String(min), max: String(max), step: String(step), oninput: () => { state[name] = Number(input.value); shown.textContent = input.value; draw(); } });
    input.value = String(state[name]);
    return make('label', { class: 'field' }, make('span', { class: 'row spread' }, label, shown), input);
  };
  const choice = (name, label, options) => {
    const select = make('select', { onchange: () => { state[name] = select.value; draw(); } }, options.map(([value, text]) => make('option', { value }, text)));
    select.value = state[name];
    return make('label', { class: 'field' }, make('span', {}, label), select);
  };
  const own = (list) => list.map((one) => [one, one]);
  const known = {
    steps: () => slider('steps', 'Steps', 1, 60, 1), width: () => slider('width', 'Width', 0.05, 2, 0.05), scale: () => slider('scale', 'Guidance scale', 0, 8, 0.1),
    solver: () => choice('solver', 'Solver', own([...ODE, ...SDE])), schedule: () => choice('schedule', 'Schedule', own(SCHEDULES)),
    across: () => choice('across', 'Across', [['time', 'time t'], ['noise', 'angle of noise']]),
    class: () => choice('class', 'Guidance towards', Object.entries(words.class).sort(([a], [b]) => (b === 'all') - (a === 'all'))),
  };
  return make('div', { class: 'controls' }, names.map((name) => known[name]()), more);
}

function bytes(address) {
  return Uint8Array.from(atob(address.split(',')[1]), (letter) => letter.charCodeAt(0)).buffer;
}

// Play, and a slider over time.
function transport(at) {
  let frame = 0, now = 1;
  const scrub = make('input', { type: 'range', min: '0', max: '1', step: '0.001', 'aria-label': 'Time, from noise to data', oninput: () => { stop(); to(Number(scrub.value)); } });
  const button = make('button', { type: 'button', onclick: () => (frame ? stop() : play()) }, 'Play');
  const to = (share) => { now = share; scrub.value = String(share); at(share); };
  function stop() {
    cancelAnimationFrame(frame);
    frame = 0;
    button.textContent = 'Play';
  }
  function play() {
    let last = performance.now();
    if (now >= 1) to(0);
    button.textContent = 'Pause';
    frame = requestAnimationFrame(function beat(time) {
      to(Math.min(1, now + Math.max(0, time - last) / 1000 / SECONDS));
      last = time;
      if (now < 1) frame = requestAnimationFrame(beat);
      else stop();
    });
  }
  at.touched = stop;
  to(1);
  return { row: make('div', { class: 'row transport' }, button, scrub), play };
}

function fill(figure) {
  const facts = JSON.parse(figure.querySelector('script').textContent);
  const { parts, at } = KINDS[figure.dataset.live](facts);
  const box = make('div', { class: 'live-box' }, parts);
  figure.prepend(box);
  if (!at) return;
  const { row, play } = transport(at);
  box.append(row);
  if (still()) return;
  const seen = new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting) { seen.disconnect(); play(); }
  }, { threshold: 0.6 });
  seen.observe(figure);
}

// The theme of the page is that of the elements.
const root = document.documentElement;
function theme() {
  const { theme: chosen } = document.body.dataset;
  if (chosen === 'light' || chosen === 'dark') root.dataset.theme = chosen;
  else delete root.dataset.theme;
  window.dispatchEvent(new CustomEvent('demist-theme'));
}
new MutationObserver(theme).observe(document.body, { attributeFilter: ['data-theme'] });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', theme);
theme();
for (const figure of document.querySelectorAll('figure.live')) fill(figure);
