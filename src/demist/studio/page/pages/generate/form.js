// The form of a job, drawn from the JSON Schema of its settings; all but the basic fields are folded.
import { acting } from '../../lib/acting.js';
import { make } from '../../lib/dom.js';

export const STANDARD = { steps: 20, solver: 'auto', time_grid: 'as suits the solver', guidance: 1, guidance_rule: 'cfg', guidance_interval: 'at all times', noise: 'seeded', condition_noise: 0, best_of: 1, batch_size: 32, seed: 0, rewrite: true, n: 1 };
const GROUPS = [['solver', 'Steps'], ['guidance', 'Guidance'], ['batch', 'Batch'], ['further', 'Further']];
const AXES = { guidance: '1, 1.5, 2, 4', steps: '4, 8, 16', seed: '0:6', solver: 'ddim, heun, adams', 'time-grid': 'angular\nuniform', 'guidance-rule': 'cfg\napg', 'guidance-interval': '0:1, 0.1:0.8', negative: 'one\nanother', prompt: 'one prompt\nanother, with a comma', noise: 'seeded, torch' };
const BARS = ['prompt', 'negative', 'time-grid', 'guidance-rule']; // values that may hold commas
let count = 0;

const isText = ([name, { kind, classes }]) => !classes && /text|prompt|caption/i.test(`${kind} ${name}`);
const lines = (text) => text.split('\n').map((one) => one.trim()).filter(Boolean);
const axisOf = (axis) => { const [name, ...rest] = axis.split('='); return [name, rest.join('=')]; };

// How many values an axis such as seed=0:6 or prompt=a cat|a dog has.
export function countOf(axis) {
  const [name, text] = axisOf(axis), range = /^(\d+):(\d+)$/.exec(text);
  return range ? Math.max(0, range[2] - range[1]) : text.split(BARS.includes(name) || text.includes('|') ? '|' : ',').length;
}

// Which of several values come, of `n` pictures in equal runs, in words.
export function comes(values, n) {
  const each = values.map(() => 0);
  for (let i = 0; i < n; i++) each[Math.floor(i * values.length / n)] += 1;
  const short = (one) => (one.length > 24 ? `“${one.slice(0, 22)} …”` : one);
  const few = (all) => (all.length > 14 ? `${all.slice(0, 12).join(', ')} … ${all.at(-1)}` : all.join(', '));
  const named = values.map((one, i) => short(one) + (each[i] > 1 ? ` ×${each[i]}` : ''));
  const left = values.filter((_, i) => !each[i]).map(short);
  const even = each.every((one) => one === each[0]);
  return even ? `${each[0]} of each: ${few(values.map(short))}.` : `${n} pictures: ${few(named.filter((_, i) => each[i]))}${left.length ? `; not ${few(left)}` : ''}.`;
}

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
    this.moreTold = acting(() => this.acted, () => { this.putBack(); this.changed(); });
    const form = make('form', { class: 'stack tight', onsubmit: (event) => { event.preventDefault(); this.onmake(); }, oninput: () => this.changed(), onchange: () => this.changed() },
      make('label', { class: 'field' }, make('span', {}, 'Model'), this.modelBox), this.conditions,
      make('div', { class: 'pair' }, this.field('steps', this.props.steps, false), this.field('guidance', this.props.guidance, false)),
      this.seedField(), make('div', {}, this.more, this.moreTold), make('div', {}, this.gridField(), this.gridTold),
      make('div', { class: 'make-row' }, make('label', { class: 'field' }, make('span', {}, 'Pictures'), this.n), this.button));
    this.card.replaceChildren(make('h2', {}, 'Settings'), form);
    this.choose();
  }

  // Names of the folded options that are not as the model says.
  get acted() {
    const found = [...this.folded()].filter(([, { control, prop }]) => (control.type === 'checkbox' ? control.checked !== prop.default : control.value !== '')).map(([name, { prop }]) => title(name, prop));
    const named = [...this.others.querySelectorAll('[data-cond]')].map((one) => one.dataset.cond).filter((name) => ![undefined, '', 'none'].includes(this.cond[name]));
    return [...found, ...named.map((name) => title(name)), ...(this.weights ? ['Weights of the picture'] : [])];
  }

  folded() { return [...this.controls].filter(([, { control }]) => this.more.contains(control) && !control.closest('[hidden]')); }

  putBack() {
    for (const [, { control, prop }] of this.folded()) if (control.type === 'checkbox') control.checked = prop.default; else control.value = '';
    for (const one of this.others.querySelectorAll('[data-cond]')) { if (one.put) one.put([]); else one.value = ''; delete this.cond[one.dataset.cond]; }
    this.weights = null;
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
      const option = make('select', { 'aria-label': `${words}: option`, 'data-axis': words, onchange: () => { values.placeholder = AXES[option.value] ?? 'one, another'; this.changed(); } });
      const values = make('textarea', { 'aria-label': `${words}: values`, 'data-values': words, disabled: true, rows: 2, autocomplete: 'off', spellcheck: 'false' });
      return { words, option, values };
    });
    this.gridBox = make('details', { class: 'grid-options' }, make('summary', {}, 'Grid over two options'), make('div', { class: 'stack tight more' },
      make('p', { class: 'small muted' }, 'One picture for each pair of values. Values stand between commas, whole numbers also as 0:6; prompts and all that may hold commas one a line.'),
      this.axes.map(({ words, option, values }) => make('div', { class: 'axis' }, make('span', { class: 'small muted' }, words), option, values))));
    this.gridTold = acting(() => (this.gridBox.hidden ? [] : this.axes.filter(({ option }) => option.value).map(({ option, values }) => `${option.value}${values.value.trim() ? '' : ' (no values yet: not used)'}`)), () => { for (const axis of this.axes) { axis.option.value = axis.values.value = ''; axis.values.disabled = true; } this.changed(); });
    return this.gridBox;
  }

  get model() { return this.models.find((one) => one.id === this.modelBox.value); }

  choose() {
    const { model } = this;
    this.cond = {};
    const known = Object.entries(model.conditions ?? {}), basic = [], other = [];
    this.prompt = known.find(isText)?.[0];
    this.label = known.find(([, about]) => about.classes)?.[0];
    for (const one of known) (one[1].classes || isText(one) ? basic : other).push(this.condition(...one));
    this.conditions.replaceChildren(...basic);
    this.others.replaceChildren(...other);
    for (const [name, { control }] of this.controls) if (name !== 'seed' && control.type !== 'checkbox' && name !== 'n') control.placeholder = String(model.defaults[name === 'time_grid' ? 'grid' : name] ?? STANDARD[name] ?? 'none');
    for (const field of this.card.querySelectorAll('[data-only="images"]')) field.hidden = model.kind !== 'images';
    const classes = model.conditions?.[this.label]?.classes.length ?? 0;
    this.controls.get('n').control.value = { points: '1000', sounds: '4' }[model.kind] ?? (classes > 1 && classes <= 16 ? String(classes) : '8');
    this.gridBox.hidden = model.kind !== 'images';
    const options = ['', 'guidance', 'steps', 'seed', ...known.map(([name]) => (name === this.prompt ? 'prompt' : name)), 'solver', 'time-grid', 'guidance-rule', 'guidance-interval', 'negative', 'noise'];
    for (const axis of this.axes) axis.option.replaceChildren(...options.map((one) => make('option', { value: one }, one || 'nothing')));
    this.changed();
  }

  condition(name, { classes, kind }) {
    if (!classes || classes.length > 24) {
      const text = isText([name, { classes, kind }]);
      const control = make(text ? 'textarea' : 'input', { name: `cond-${name}`, 'data-cond': name, rows: text ? 3 : null, placeholder: text ? 'none; several, one a line, are shared out' : 'none', autocomplete: 'off' });
      control.addEventListener('input', () => { const all = lines(control.value); this.cond[name] = text && all.length > 1 ? all : control.value; });
      return make('div', { class: 'field' }, make('label', { class: 'field' }, make('span', {}, title(name)), control), classes ? this.suggest(control, classes) : null, this.told(name));
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
    const set = make('fieldset', { class: 'choices', 'data-cond': name }, make('legend', {}, title(name)), chip(every, 'each in turn'), chip(none, 'none'), boxes.map((box) => chip(box, box.value)), this.told(name));
    set.put = put;
    return set;
  }

  // Which values of a condition come, where it is not seen from its chips or its one line.
  told(name) { return make('p', { class: 'small muted comes', 'data-comes': name, 'aria-live': 'polite', hidden: true }); }

  tellComes() {
    const varied = this.varied(), n = this.number, only = this.controls.get('only').control.value;
    for (const told of this.card.querySelectorAll('[data-comes]')) {
      const name = told.dataset.comes, value = this.cond[name];
      if (varied.includes(name)) told.textContent = 'The grid says which.';
      else if (!Array.isArray(value)) told.textContent = '';
      else if (varied.length) told.textContent = 'A grid takes one: choose it, or let it be an axis.';
      else if (only !== '' && Number(only) < n) told.textContent = `Only number ${only} of ${n}: ${value[Math.floor(only * value.length / n)]}.`;
      else told.textContent = comes(value, n);
      told.hidden = !told.textContent;
    }
  }

  // The conditions that the grid varies, by their own names.
  varied() { return this.grid().map((axis) => { const [name] = axisOf(axis); return name === 'prompt' && this.prompt ? this.prompt : name; }); }

  grid() {
    if (this.gridBox.hidden) return [];
    return this.axes.filter(({ option, values }) => option.value && values.value.trim()).map(({ option: { value: name }, values: { value } }) => {
      const bars = BARS.includes(name) || value.includes('|') || (name in (this.model.conditions ?? {}) && value.trim().includes('\n'));
      const all = value.split(bars ? /[|\n]/ : /[,\n]/).map((one) => one.trim()).filter(Boolean);
      return `${name}=${all.join(bars ? '|' : ',')}`;
    });
  }

  // How many pictures, as far as the page can tell.
  get number() {
    const grid = this.grid();
    return grid.length ? grid.map(countOf).reduce((a, b) => a * b, 1) : Number(this.controls.get('n').control.value) || 1;
  }

  changed() {
    const grid = this.grid().length > 0;
    this.controls.get('n').control.disabled = grid;
    this.button.textContent = grid ? `Make a grid of ${this.number}` : 'Make';
    for (const { option, values } of this.axes) {
      values.disabled = !option.value;
      values.classList.toggle('long', BARS.includes(option.value));
    }
    this.moreTold.tell();
    this.gridTold.tell();
    this.tellComes();
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
    const grid = this.grid(), varied = this.varied();
    for (const [name, value] of Object.entries(this.cond)) if (value !== '' && value !== 'none' && !varied.includes(name)) found.cond[name] = value;
    if (grid.length) { found.grid = grid; delete found.n; delete found.only; }
    if (this.weights) found.weights = this.weights;
    return found;
  }

  // The values for a new job: a seed is drawn if none is locked, and shown.
  take() {
    const several = Object.entries(this.cond).find(([, value]) => Array.isArray(value));
    if (this.grid().length && several && !this.varied().includes(several[0])) throw new Error(`All cells of a grid share the ${several[0]}: choose one, or let it be an axis.`);
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
      else { set.value = value === undefined ? '' : [value].flat().join(set.tagName === 'TEXTAREA' ? '\n' : ','); }
      this.cond[set.dataset.cond] = value ?? '';
    }
    const grid = settings.grid ?? [];
    this.axes.forEach((axis, i) => {
      const [written, text] = axisOf(grid[i] ?? ''), name = written === this.prompt && written ? 'prompt' : written === 'class' ? this.label : written;
      axis.option.value = name;
      axis.values.value = BARS.includes(name) || text.includes('|') ? text.split('|').map((one) => one.trim()).join('\n') : text;
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
