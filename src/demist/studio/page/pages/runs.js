// All runs in a table, and the page of one: #/runs and #/runs/0007-digits.
import '../elements/curve.js';
import '../elements/heat.js';
import '../elements/strip.js';
import { file, get, post, start } from '../lib/api.js';
import { ago, duration, make, number, say } from '../lib/dom.js';
import { nearest } from './runs/nearest.js';

const REFRESH = 5000; // of a run that trains

class RunsPage extends HTMLElement {
  #timer = 0;
  #shown = '';

  connectedCallback() {
    this.setAttribute('class', 'stack');
    this.append(make('p', { class: 'empty' }, 'Reading the run folders …'));
    this.load();
  }

  disconnectedCallback() { clearTimeout(this.#timer); this.gone = true; }

  async load() {
    const id = this.getAttribute('rest');
    try {
      const again = id ? await this.one(id) : await this.table();
      if (again && !this.gone) this.#timer = setTimeout(() => this.load(), REFRESH);
    } catch (error) {
      if (this.#shown) say(error.message, 'bad');
      else this.replaceChildren(back(), make('p', { class: 'note bad' }, error.message));
    }
  }

  async table() {
    const runs = await get('/api/runs');
    if (this.gone) return false;
    const text = JSON.stringify(runs);
    if (text !== this.#shown) this.replaceChildren(make('div', { class: 'head' }, make('h1', {}, 'Runs'),
      make('p', {}, 'What the run folders say, whoever trained them and wherever. A folder copied from another machine works.')),
    runs.length ? list(runs) : make('p', { class: 'empty' }, 'No runs here yet. ', make('code', {}, 'demist train digits'), ' makes one.'));
    this.#shown = text;
    return runs.some((run) => run.state === 'running');
  }

  async one(id) {
    const [run, metrics] = await Promise.all([get(`/api/runs/${id}`), get(`/api/runs/${id}/metrics`)]);
    if (this.gone) return false;
    if (!this.#shown) this.build(id, run);
    this.#shown = id;
    this.fill(id, run, metrics);
    return run.state === 'running';
  }

  build(id, run) {
    this.parts = {
      state: make('span', { class: 'badge' }), message: make('p', { class: 'note', hidden: true }),
      figures: make('dl', { class: 'figures' }), strip: make('demist-strip'), plots: make('div', { class: 'plots' }),
      asks: make('div', { class: 'row' }), evaluations: make('div', { class: 'stack' }),
    };
    const wishes = [['sample', 'Sample now'], ['save', 'Save now'], ['stop', 'Stop']];
    for (const [what, label] of wishes) {
      this.parts.asks.append(make('button', { type: 'button', onclick: () => this.ask(id, what) }, label));
    }
    this.parts.strips = make('section', { class: 'card', hidden: true }, make('h2', {}, 'The learning, from the same noise'), this.parts.strip);
    const name = make('span', {}, make('span', { class: 'muted' }, `${run.id.split('-')[0]} `), run.name);
    this.replaceChildren(back(),
      make('div', { class: 'row spread' }, make('div', { class: 'row' }, make('h1', {}, name), this.parts.state), this.parts.asks),
      this.parts.message, this.parts.figures, this.parts.strips, this.parts.plots, this.parts.evaluations,
      nearest(id, run), this.delivered(id, run), this.options(id, run), facts(run));
    this.curves = {};
    const curve = (key, title, wide) => {
      this.curves[key] = make('demist-curve');
      this.parts.plots.append(make('section', { class: `card ${wide ? 'wide' : ''}` }, make('h2', {}, title), this.curves[key]));
    };
    curve('loss', 'Loss', true);
    this.heat = make('demist-heat');
    this.heatCard = make('section', { class: 'card wide', hidden: true }, make('h2', {}, 'Loss by noise level'), this.heat,
      make('p', { class: 'small muted' }, 'Below, almost pure noise; above, almost clean data. What stays light is hard at that level, or weighs much there.'));
    this.parts.plots.append(this.heatCard);
    curve('grad_norm', 'Gradient norm');
    curve('lr', 'Learning rate');
    curve('images_per_second', 'Throughput');
    curve('waiting', 'Waiting for data');
  }

  fill(id, run, m) {
    const { state, message, figures, strip, strips, asks, evaluations } = this.parts;
    const words = run.stage ? `${run.state} (${run.stage})` : run.state ?? 'unknown';
    state.className = `badge ${run.state}`;
    state.textContent = words;
    message.hidden = !run.message;
    message.className = `note ${run.state === 'failed' ? 'bad' : ''}`;
    message.textContent = run.message ?? '';
    for (const button of asks.children) button.disabled = !run.can_be_asked;
    asks.title = run.can_be_asked ? '' : 'It does not train just now, so there is nobody to ask.';
    const left = run.state === 'running' && run.progress > 0 ? (run.seconds * (1 - run.progress)) / run.progress : null;
    figures.replaceChildren(...[
      ['Loss, last 200 steps', number(m.recent_loss)], ['Steps', number(run.step)], ['Items seen', number(run.images)],
      ['Time', duration(run.seconds)], [left === null ? 'Done' : 'Left', left === null ? percent(run.progress) : duration(left)],
      ['Checkpoints', run.checkpoints.length ? number(run.checkpoints.at(-1)) : '–'],
    ].map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
    strips.hidden = !run.samples.length;
    if (run.samples.length) {
      strip.data = { what: 'Samples', items: run.samples.map((step) => ({ label: `after ${step.toLocaleString('en')} steps`, url: `/api/runs/${id}/samples/${step}` })) };
    }
    const x = m.step;
    this.curves.loss.data = { x, log: true, yLabel: 'loss', lines: [{ y: m.loss, label: 'each', faint: true }, { y: m.smooth, label: 'smoothed', colour: 1 }] };
    this.curves.grad_norm.data = { x, log: true, yLabel: 'norm before clipping', lines: [{ y: m.grad_norm, label: 'norm', colour: 2 }] };
    this.curves.lr.data = { x, zero: true, yLabel: 'learning rate', lines: [{ y: m.lr, label: 'rate', colour: 3 }] };
    this.curves.images_per_second.data = { x, zero: true, yLabel: 'items per second', lines: [{ y: m.images_per_second, label: 'mean so far', colour: 4 }] };
    this.curves.waiting.data = { x, zero: true, yLabel: 'share of the time', format: percent, lines: [{ y: m.waiting, label: 'waiting', colour: 5 }] };
    this.heatCard.hidden = !m.loss_by_level.length;
    if (m.loss_by_level.length) this.heat.data = { values: m.loss_by_level.map((v) => v ?? []), x, yEdges: m.levels, xLabel: 'step', yLabel: 'log-SNR (nats)', label: 'loss' };
    evaluations.replaceChildren(...run.evaluations.map(evaluation));
  }

  delivered(id, run) {
    const from = run.options?.path ?? 'its data';
    const place = make('div', {}, make('p', { class: 'small muted' }, 'The first batch as the network sees it: cut, mirrored, encoded; and noised at quantiles of the times that it learns from. This reads ', make('code', {}, from), '.'));
    const button = make('button', { type: 'button' }, 'Show');
    button.addEventListener('click', async () => {
      button.disabled = true;
      place.replaceChildren(make('p', { class: 'muted', role: 'status' }, 'Reading the data …'));
      try {
        await start('delivered', { run: id }, (event) => {
          if (!['done', 'failed', 'cancelled'].includes(event.type)) return;
          button.disabled = false;
          place.replaceChildren(event.type === 'done'
            ? make('img', { class: 'centred', src: file(event.job, 'delivered.png'), alt: 'Items of the first batch, each column one item; below, the same with more and more noise' })
            : make('p', { class: 'note bad' }, event.message));
        });
      } catch (error) { button.disabled = false; place.replaceChildren(make('p', { class: 'note bad' }, error.message)); }
    });
    return make('section', { class: 'card' }, make('div', { class: 'row spread title' }, make('h2', {}, 'What the data loader delivers'), button), place);
  }

  options(id, run) {
    const place = make('div', {});
    const choice = make('select', { 'aria-label': 'Compare with', onchange: () => show(choice.value) },
      make('option', { value: '' }, 'the defaults'), run.others.map((other) => make('option', { value: other }, other)));
    const show = async (other) => {
      try {
        const found = other ? await get(`/api/runs/${id}/against/${other}`) : run.changed ?? {};
        const rows = Object.entries(found).map(([name, [before, after]]) => make('tr', {},
          make('th', { scope: 'row' }, name), make('td', {}, written(before)), make('td', {}, written(after))));
        place.replaceChildren(rows.length
          ? make('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Options that differ' }, make('table', { class: 'options' },
            make('thead', {}, make('tr', {}, ['Option', other || 'Default', 'This run'].map((h) => make('th', { scope: 'col' }, h)))), make('tbody', {}, rows)))
          : make('p', { class: 'muted' }, 'No option differs.'));
      } catch (error) { place.replaceChildren(make('p', { class: 'note bad' }, error.message)); }
    };
    show('');
    return make('section', { class: 'card' }, make('div', { class: 'row spread title' }, make('h2', {}, 'Options that differ'),
      make('label', { class: 'small muted' }, 'from', choice)), place);
  }

  async ask(id, what) {
    try {
      await post(`/api/runs/${id}/ask/${what}`);
      say({ sample: 'Asked: samples will appear above.', save: 'Asked: a checkpoint is written after this step.', stop: 'Asked: it finishes its step, saves and ends.' }[what]);
    } catch (error) { say(error.message, 'bad'); }
  }
}

const back = () => make('p', {}, make('a', { href: '#/runs' }, '← All runs'));
const percent = (v) => (Number.isFinite(v) ? `${Number((100 * v).toPrecision(v < 1 ? 2 : 4))} %` : '–');
const written = (v) => (v === null ? 'none' : typeof v === 'object' ? JSON.stringify(v) : String(v));

function list(runs) {
  const rows = runs.map((run) => make('tr', {},
    make('td', {}, make('a', { href: `#/runs/${run.id}` }, run.name)),
    make('td', { class: 'number muted' }, String(run.number)),
    make('td', {}, make('span', { class: `badge ${run.state}` }, run.stage ? `${run.state} (${run.stage})` : run.state ?? 'unknown')),
    make('td', { class: 'progress' }, make('progress', { class: 'bar', max: '1', value: String(run.progress ?? 0), 'aria-label': `${run.name}: ${percent(run.progress ?? 0)} done` })),
    make('td', { class: 'number' }, number(run.step)), make('td', { class: 'number' }, number(run.loss)),
    make('td', { class: 'number' }, number(run.images_per_second, 3)), make('td', { class: 'number' }, duration(run.seconds)),
    make('td', { class: 'muted' }, ago(run.updated))));
  const head = [['Run'], ['No.', 1], ['State'], ['Progress'], ['Step', 1], ['Loss', 1], ['Items / s', 1], ['Time', 1], ['Changed']];
  return make('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'All runs' }, make('table', { class: 'runs-table' },
    make('thead', {}, make('tr', {}, head.map(([h, right]) => make('th', { scope: 'col', class: right ? 'number' : '' }, h)))), make('tbody', {}, rows)));
}

// Half the width of a 95 % interval of the mean: Student's t with n - 1 degrees of freedom.
const T975 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

function evaluation(found) {
  const rows = Object.entries(found.metrics).filter(([, m]) => m && Number.isFinite(m.value)).map(([name, m]) => {
    const n = m.values?.length ?? 0;
    const half = n > 1 && Number.isFinite(m.spread) ? ((T975[n - 2] ?? 1.96) * m.spread) / Math.sqrt(n) : null;
    return make('tr', {}, make('th', { scope: 'row' }, name), make('td', { class: 'number' }, number(m.value)),
      make('td', { class: 'number' }, half === null ? '–' : `± ${number(half, 2)}`), make('td', { class: 'number' }, number(m.floor)));
  });
  const s = found.sampling ?? {};
  const how = [s.steps && `${s.steps} steps`, s.solver && `of ${s.solver}`, s.guidance && `guidance ${s.guidance}`, found.seeds && `seeds ${found.seeds.join(', ')}`].filter(Boolean).join(', ');
  return make('section', { class: 'card' }, make('h2', {}, found.name.replace('-', ' ').replace(/^e/, 'E')), make('p', { class: 'small muted' }, how),
    make('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': found.name }, make('table', { class: 'options' },
      make('thead', {}, make('tr', {}, ['Metric', 'Mean', '95 % interval', 'Real data'].map((h, i) => make('th', { scope: 'col', class: i ? 'number' : '' }, h)))), make('tbody', {}, rows))));
}

function facts(run) {
  const e = run.environment ?? {};
  const machine = [e.processor, e.gpu, e.cores && `${e.cores} cores`, e.python && `Python ${e.python}`, e.packages?.torch && `torch ${e.packages.torch}`].filter(Boolean).join(' · ');
  const lines = [['Data', run.data], ['Machine', machine], ['Skipped steps', run.skipped ? number(run.skipped) : null], ['Unreadable files', run.bad_files ? number(run.bad_files) : null],
    ['Parameters', run.summary?.parameters ? number(run.summary.parameters) : null]].filter(([, v]) => v);
  if (!lines.length && !run.command && !run.stages.length) return '';
  return make('section', { class: 'card stack' }, make('h2', {}, 'Where it comes from'),
    make('dl', { class: 'facts' }, lines.flatMap(([k, v]) => [make('dt', {}, k), make('dd', {}, v)])),
    run.command ? make('pre', { class: 'command', tabindex: '0', 'aria-label': 'Command' }, run.command) : null,
    run.stages.length ? make('p', { class: 'row small' }, 'Earlier stages:', run.stages.map((s) => make('a', { href: `#/runs/${run.id}.${s}` }, s))) : null);
}

customElements.define('demist-runs-page', RunsPage);
export default { title: 'Runs', element: 'demist-runs-page' };
