// The form of a job, drawn from the JSON Schema of its settings; all but the basic fields are folded.
import { make } from '../../lib/dom.js';

export const STANDARD = { steps: 20, solver: 'auto', time_grid: 'as suits the solver', guidance: 1, guidance_rule: 'cfg', guidance_interval: 'at all times', noise: 'seeded', condition_noise: 0, best_of: 1, batch_size: 32, seed: 0, rewrite: true, n: 1 };
const GROUPS = [['solver', 'Steps'], ['guidance', 'Guidance'], ['batch', 'Batch'], ['further', 'Further']];
const AXES = { guidance: '1, 1.5, 2, 4', steps: '4, 8, 16', seed: '0:6', solver: 'ddim, heun, adams', 'time-grid': 'angular | uniform', 'guidance-rule': 'cfg | apg', 'guidance-interval': '0:1, 0.1:0.8', negative: 'one | another', noise: 'seeded, torch' };
let count = 0;

const plain = (prop) => prop.anyOf?.find((one) => one.type !== 'null') ?? prop;
export const title = (name, prop = {}) => { const text = (prop.title ?? name).replaceAll('_', ' '); return text[0].toUpperCase() + text.slice(1).toLowerCase(); };

export class Form {
  constructor(onmake, oncheck) {
    this.controls = new Map();
    this.cond = {};
    this.weights = null;
    this.onchange = oncheck ?? (() => {});
    this.card = make('section', { class: 'card generate-form' }, make('h2', {}, 'Settings'), make('p', { class: 'muted' }, 'Reading the options …'));
    this.onmake = onmake;
  }

  fill(models, schema) {
    Object.assign(this, { models, props: schema.properties });
    this.modelBox = make('select', { name: 'model', onchange: () => { this.weights = null; this.choose(); } }, models.map((m) => make('option', { value: m.id }, m.from === 'package' ? `${m.name} (comes along)` : m.name)));
    this.conditions = make('div', { class: 'stack tight' });
    this.others = make('div', { class: 'stack tight' });
    this.n = this.control('n', this.props.n);
    this.button = make('button', { class: 'primary', type: 'submit' }, 'Make');
    this.more = make('details', { class: 'all-options' }, make('summary', {}, 'All options'), make('div', { class: 'stack tight more' }, this.others,
      GROUPS.map(([group, words]) => make('fieldset', { class: 'stack tight group' }, make('legend', {}, words), Object.entries(this.props).filter(([name, prop]) => prop.group === group && name !== 'n').map(([name, prop]) => this.field(name, prop))))));
    const form = make('form', { class: 'stack tight', onsubmit: (event) => { event.preventDefault(); this.onmake(); }, oninput: () => this.changed() },
      make('label', { class: 'field' }, make('span', {}, 'Model'), this.modelBox), this.conditions,
      make('div', { class: 'pair' }, this.field('steps', this.props.steps, false), this.field('guidance', this.props.guidance, false)),
      this.seedField(), this.more, this.gridField(),
      make('div', { class: 'make-row' }, make('label', { class: 'field' }, make('span', {}, 'Pictures'), this.n), this.button));
    this.card.replaceChildren(make('h2', {}, 'Settings'), form);
    this.choose();
  }

  // One control for one property of the schema.
  control(name, prop) {
    const type = plain(prop), more = { name, 'data-option': name };
    let control;
    if (type.enum) control = make('select', more, [make('option', { value: '' }, 'as the model says'), ...type.enum.map((one) => make('option', { value: one }, one))]);
    else if (type.type === 'boolean') control = make('input', { ...more, type: 'checkbox', checked: prop.default });
    else if (type.type === 'integer' || type.type === 'number') control = make('input', { ...more, type: 'number', inputmode: 'decimal', min: prop.minimum === undefined ? null : String(prop.minimum), max: prop.maximum === undefined ? null : String(prop.maximum), step: String(prop.step ?? (type.type === 'integer' ? 1 : 'any')) });
    else control = make('input', { ...more, type: 'text', autocomplete: 'off', spellcheck: 'false' });
    if (prop.default !== null && prop.default !== undefined && type.type === 'integer') control.value = String(prop.default);
    this.controls.set(name, { control, type: type.type, prop });
    return control;
  }

  field(name, prop, hint = true) {
    const control = this.control(name, prop);
    const words = make('span', {}, title(name, prop));
    const told = hint && prop.description ? make('span', { class: 'small muted hint', id: `hint-${name}` }, prop.description) : null;
    if (told) control.setAttribute('aria-describedby', told.id);
    if (control.type === 'checkbox') return make('div', { class: 'field', 'data-only': prop.only ?? '' }, make('label', {}, control, words), told);
    const list = prop.like ? this.suggest(control, prop.like) : null;
    return make('div', { class: 'field', 'data-only': prop.only ?? '' }, make('label', { class: 'field' }, words, control), list, told);
  }

  suggest(control, words) {
    const id = `suggested-${count++}`;
    control.setAttribute('list', id);
    return make('datalist', { id }, words.map((value) => make('option', { value })));
  }

  seedField() {
    const seed = this.control('seed', this.props.seed);
    seed.addEventListener('input', () => this.lock(seed.value !== ''));
    seed.placeholder = 'drawn for each job';
    this.locks = make('div', { class: 'segments', role: 'group', 'aria-label': 'Seed' }, [['random', 'Random'], ['locked', 'Locked']].map(([name, words]) => make('button', { type: 'button', 'data-lock': name, onclick: () => this.lock(name === 'locked') }, words)));
    this.lock(false);
    seed.id = 'generate-seed';
    return make('div', { class: 'seed-row' }, make('label', { for: seed.id }, 'Seed'), this.locks, seed);
  }

  lock(on) {
    this.locked = on;
    const { control } = this.controls.get('seed');
    if (on && control.value === '') control.value = '0';
    for (const one of this.locks.children) one.setAttribute('aria-pressed', String((one.dataset.lock === 'locked') === on));
    this.onchange();
  }

  gridField() {
    this.axes = ['Rows', 'Columns'].map((words) => {
      const option = make('select', { 'aria-label': `${words}: option`, 'data-axis': words, onchange: () => { values.placeholder = AXES[option.value] ?? 'one | another'; values.disabled = !option.value; this.changed(); } });
      const values = make('input', { type: 'text', 'aria-label': `${words}: values`, 'data-values': words, disabled: true, autocomplete: 'off', spellcheck: 'false' });
      return { words, option, values };
    });
    this.gridBox = make('details', { class: 'grid-options' }, make('summary', {}, 'Grid over two options'), make('div', { class: 'stack tight more' },
      make('p', { class: 'small muted' }, 'One picture for each pair of values. Values stand between commas, prompts between bars; whole numbers also as 0:6.'),
      this.axes.map(({ words, option, values }) => make('div', { class: 'axis' }, make('span', { class: 'small muted' }, words), option, values))));
    return this.gridBox;
  }

  get model() { return this.models.find((one) => one.id === this.modelBox.value); }

  choose() {
    const { model } = this;
    this.cond = {};
    const known = Object.entries(model.conditions ?? {}), basic = [], other = [];
    for (const [name, about] of known) (about.classes || /text|prompt|caption/i.test(`${about.kind} ${name}`) ? basic : other).push(this.condition(name, about));
    this.conditions.replaceChildren(...basic);
    this.others.replaceChildren(...other);
    for (const [name, { control }] of this.controls) if (name !== 'seed' && control.type !== 'checkbox' && name !== 'n') control.placeholder = String(model.defaults[name === 'time_grid' ? 'grid' : name] ?? STANDARD[name] ?? 'none');
    for (const field of this.card.querySelectorAll('[data-only="images"]')) field.hidden = model.kind !== 'images';
    const classes = known.find(([, about]) => about.classes)?.[1].classes.length ?? 0;
    this.controls.get('n').control.value = { points: '1000', sounds: '4' }[model.kind] ?? (classes > 1 && classes <= 16 ? String(classes) : '8');
    this.gridBox.hidden = model.kind !== 'images';
    const options = ['', 'guidance', 'steps', 'seed', ...known.map(([name]) => name), 'solver', 'time-grid', 'guidance-rule', 'guidance-interval', 'negative', 'noise'];
    for (const axis of this.axes) axis.option.replaceChildren(...options.map((one) => make('option', { value: one }, one || 'nothing')));
    this.changed();
  }

  condition(name, { classes }) {
    if (!classes || classes.length > 24) {
      const tag = /text|prompt|caption/i.test(name) ? 'textarea' : 'input';
      const control = make(tag, { name: `cond-${name}`, 'data-cond': name, rows: tag === 'textarea' ? 3 : null, placeholder: 'none', autocomplete: 'off' });
      control.addEventListener('input', () => { this.cond[name] = control.value; });
      return make('div', { class: 'field' }, make('label', { class: 'field' }, make('span', {}, title(name)), control), classes ? this.suggest(control, classes) : null);
    }
    const boxes = classes.map((one) => make('input', { type: 'checkbox', name: `cond-${name}`, value: one }));
    const chip = (input, words) => make('label', { class: 'choice' }, input, make('span', {}, words));
    const every = make('input', { type: 'checkbox', value: '*', name: `every-${name}`, checked: true }), none = make('input', { type: 'checkbox', value: '', name: `none-${name}` });
    const put = (chosen) => {
      const all = chosen === '*' || String(chosen) === String(classes);
      every.checked = all;
      none.checked = !all && !chosen?.length;
      for (const box of boxes) box.checked = !all && Boolean(chosen?.includes(box.value));
      this.cond[name] = all ? [...classes] : chosen?.length > 1 ? chosen : chosen?.[0] ?? 'none';
    };
    every.addEventListener('change', () => put('*'));
    none.addEventListener('change', () => put([]));
    for (const box of boxes) box.addEventListener('change', () => { const chosen = boxes.filter((one) => one.checked).map((one) => one.value); put(chosen); });
    put('*');
    const set = make('fieldset', { class: 'choices', 'data-cond': name }, make('legend', {}, title(name)), chip(every, 'each in turn'), chip(none, 'none'), boxes.map((box) => chip(box, box.value)));
    set.put = put;
    return set;
  }

  grid() {
    if (this.gridBox.hidden) return [];
    return this.axes.filter(({ option, values }) => option.value && values.value.trim()).map(({ option, values }) => `${option.value}=${values.value.replace(/\s*([,|])\s*/g, '$1').trim()}`);
  }

  // How many pictures, as far as the page can tell.
  get number() {
    const grid = this.grid();
    if (!grid.length) return Number(this.controls.get('n').control.value) || 1;
    return grid.map((axis) => { const text = axis.split('=').slice(1).join('='), range = /^(\d+):(\d+)$/.exec(text); return range ? range[2] - range[1] : text.split(text.includes('|') ? '|' : ',').length; }).reduce((a, b) => a * b, 1);
  }

  changed() {
    const grid = this.grid().length > 0;
    this.controls.get('n').control.disabled = grid;
    this.button.textContent = grid ? `Make a grid of ${this.number}` : 'Make';
    this.onchange();
  }

  // The settings as a job takes them: only what is said.
  values() {
    const found = { model: this.modelBox.value, cond: {} };
    for (const [name, { control, type }] of this.controls) {
      if (control.closest('[hidden]') || (name === 'seed' && control.value === '')) continue;
      if (control.type === 'checkbox') { if (control.checked !== this.props[name].default) found[name] = control.checked; continue; }
      if (control.value === '' || control.disabled) continue;
      found[name] = type === 'integer' || type === 'number' ? Number(control.value) : type === 'array' ? control.value.trim().split(/\s+/) : control.value;
    }
    const grid = this.grid(), varied = grid.map((axis) => axis.split('=')[0]);
    for (const [name, value] of Object.entries(this.cond)) if (value !== '' && value !== 'none' && !varied.includes(name)) found.cond[name] = value;
    if (grid.length) { found.grid = grid; delete found.n; delete found.only; }
    if (this.weights) found.weights = this.weights;
    return found;
  }

  // The values for a new job: a seed is drawn if none is locked, and shown.
  take() {
    const several = Object.entries(this.cond).find(([, value]) => Array.isArray(value));
    if (this.grid().length && several && !this.grid().some((axis) => axis.startsWith(`${several[0]}=`))) throw new Error(`All cells of a grid share the ${several[0]}: choose one, or let it be an axis.`);
    if (!this.locked) this.controls.get('seed').control.value = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    return this.values();
  }

  // Settings of a recipe; what it does not say is left to the model.
  set(settings, { seed = true } = {}) {
    if (settings.model && this.models.some((one) => one.id === settings.model)) this.modelBox.value = settings.model;
    this.choose();
    this.weights = seed ? settings.weights ?? null : null;
    for (const [name, { control, type }] of this.controls) {
      if (name === 'seed' && !seed) continue;
      const value = settings[name];
      if (control.type === 'checkbox') control.checked = value ?? this.props[name].default;
      else if (type === 'array') control.value = (value ?? []).join(' ');
      else control.value = value ?? (name === 'n' ? '1' : '');
    }
    for (const set of this.card.querySelectorAll('[data-cond]')) {
      const value = settings.cond?.[set.dataset.cond];
      if (set.put) set.put(value === undefined ? [] : [value].flat());
      else { set.value = value === undefined ? '' : [value].flat().join(','); }
      this.cond[set.dataset.cond] = value ?? '';
    }
    const grid = settings.grid ?? [];
    this.axes.forEach((axis, i) => {
      const [name, ...rest] = (grid[i] ?? '').split('=');
      axis.option.value = name;
      axis.values.value = rest.join('=');
      axis.values.disabled = !name;
    });
    this.gridBox.open = grid.length > 0;
    this.lock(seed && settings.seed !== undefined);
    this.changed();
  }

  // What would really be used, in words, for a comparison.
  effective(settings) {
    const model = this.models.find((one) => one.id === (settings.model ?? this.modelBox.value));
    const found = {};
    for (const name of Object.keys(this.props)) {
      if (name === 'weights' || name === 'cond') continue;
      const value = settings[name] ?? model?.defaults[name === 'time_grid' ? 'grid' : name] ?? STANDARD[name];
      if (value !== undefined && value !== null && String(value) !== '') found[name] = name === 'model' ? model?.name ?? value : Array.isArray(value) ? value.join(' × ') : String(value);
    }
    for (const [name, value] of Object.entries(settings.cond ?? {})) found[name] = [value].flat().join(', ');
    if (found.grid) delete found.n;
    return found;
  }
}
