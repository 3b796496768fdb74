// The controls of a sampling and of a branch: the same fields, which of a branch begin "as it was".
import { upload } from '../../lib/api.js';
import { make, say } from '../../lib/dom.js';

const SOLVERS = ['auto', 'adams', 'ddim', 'heun', 'dpmpp-2m', 'unipc', 'euler', 'sde-adams', 'sde-dpmpp-2m', 'churn'];
const RULES = ['cfg', 'apg', 'rescale'];

const field = (name, control, hint) => make('label', { class: 'field' }, make('span', {}, name), control, hint ? make('span', { class: 'small muted' }, hint) : null);
const numeric = (attributes) => make('input', { type: 'number', inputmode: 'decimal', ...attributes });

export class Form {
  constructor({ title, button, branch = false, onrun }) {
    Object.assign(this, { branch, cond: {} });
    this.heading = make('h2', {}, title);
    this.modelBox = make('select', { name: 'model', onchange: () => this.choose() });
    this.conditions = make('div', { class: 'stack tight' });
    this.guidance = numeric({ name: 'guidance', min: 0, max: 30, step: 0.5 });
    this.steps = numeric({ name: 'steps', min: 1, max: 1000, step: 1 });
    this.seed = numeric({ name: 'seed', min: 0, step: 1 });
    this.n = numeric({ name: 'n', min: 1, max: 2000, step: 1, value: '8' });
    this.solver = make('select', { name: 'solver', onchange: () => this.showEta() }, (branch ? ['', ...SOLVERS] : SOLVERS).map((one) => make('option', { value: one }, one || 'as it was')));
    this.eta = make('input', { type: 'range', name: 'eta', min: '0', max: '1', step: '0.05', value: '0' });
    this.etaBox = field('eta: fresh noise in every step', this.eta);
    this.interval = make('input', { name: 'interval', placeholder: '0.1:0.8', size: 10 });
    this.rule = make('select', { name: 'rule' }, ['', ...RULES].map((one) => make('option', { value: one }, one || (branch ? 'as it was' : 'as the model says'))));
    this.negative = make('input', { name: 'negative', placeholder: 'nothing', size: 10 });
    this.picture = make('input', { type: 'file', name: 'picture', accept: 'image/png,image/jpeg,image/webp', onchange: () => this.showStart() });
    this.start = make('input', { type: 'range', name: 'start', min: '0.05', max: '1', step: '0.05', value: '0.6', disabled: true });
    this.invert = make('input', { type: 'checkbox', name: 'invert', disabled: true, onchange: () => this.showStart() });
    this.extra = make('div', { class: 'stack tight' });
    this.button = make('button', { class: 'primary', type: 'submit' }, button);
    const more = make('details', {}, make('summary', {}, 'More'), make('div', { class: 'stack tight more' },
      make('div', { class: 'pair' }, field('Guidance between times', this.interval), field('Rule', this.rule)),
      field('Lead away from', this.negative),
      branch ? null : make('div', { class: 'stack tight' }, field('Start from a picture', this.picture), field('Strength: 1 leaves nothing of it', this.start), make('label', { class: 'check' }, this.invert, make('span', {}, 'Invert it instead: walk from the picture to its noise, and come back from there')))));
    const form = make('form', { class: 'stack tight', onsubmit: (event) => { event.preventDefault(); this.send(onrun); } },
      branch ? null : field('Model', this.modelBox),
      this.conditions,
      make('div', { class: 'pair' }, field('Guidance', this.guidance), field(branch ? 'Steps left' : 'Steps', this.steps)),
      make('div', { class: 'pair' }, field('Solver', this.solver), field(branch ? 'New noise: seed' : 'Seed', this.seed)),
      this.etaBox,
      branch ? null : make('div', { class: 'pair' }, field('Samples', this.n), null),
      this.extra, more, this.button);
    this.card = make('section', { class: `card ${branch ? 'branch-card' : 'first-card'}` }, this.heading, form);
    this.showEta();
  }

  fill(models) {
    this.models = models;
    this.modelBox.replaceChildren(...models.map((model) => make('option', { value: model.id }, model.from === 'package' ? `${model.name} (comes along)` : model.name)));
    this.choose();
  }

  choose() {
    const model = this.models.find((one) => one.id === this.modelBox.value);
    this.conditionsOf(model);
    this.guidance.placeholder = String(model.defaults.guidance ?? 1);
    this.steps.placeholder = String(model.defaults.steps ?? 20);
    this.seed.placeholder = '0';
    this.n.value = model.kind === 'points' ? '500' : '8';
  }

  // Of a branch: what it leaves, and where.
  refer(model, take, step) {
    if (!model || !take.trace) return;
    if (this.known !== model.id) { this.conditionsOf(model); this.known = model.id; }
    const how = take.trace.facts.sampling, left = take.rising ? step : take.steps - step;
    const name = take.rising ? 'Come back' : 'Branch';
    this.heading.textContent = left ? `${name} from step ${step}` : name;
    this.guidance.placeholder = String(how.guidance);
    this.steps.placeholder = String(left);
    this.seed.placeholder = String(Array.isArray(how.seed) ? how.seed[0] : how.seed);
    this.button.disabled = !left;
    this.button.textContent = left ? (take.rising ? 'Come back from here' : 'Branch here') : take.rising ? 'Go on to a step first' : 'Go back to a step first';
  }

  conditionsOf(model) {
    this.cond = {};
    const none = this.branch ? 'as it was' : 'none';
    this.conditions.replaceChildren(...Object.entries(model.conditions ?? {}).map(([name, { classes }]) => {
      if (!classes || classes.length > 24) {
        return field(name, make('input', { name: `cond-${name}`, placeholder: none, oninput: (event) => { this.cond[name] = event.target.value; } }));
      }
      const first = this.branch ? '' : classes[Math.min(7, classes.length - 1)];
      if (first) this.cond[name] = first;
      const choices = [['', none], ...(this.branch ? [['none', 'none']] : []), ...classes.map((one) => [one, one])];
      return make('fieldset', { class: 'chips' }, make('legend', {}, name), choices.map(([value, words]) => make('label', { class: 'chip' },
        make('input', { type: 'radio', name: `${this.branch ? 'branch' : 'first'}-${name}`, value, checked: value === first, onchange: () => { this.cond[name] = value; } }), make('span', {}, words))));
    }));
  }

  showStart() {
    const none = !this.picture.files.length;
    this.invert.disabled = none;
    this.start.disabled = none || this.invert.checked;
    this.guidance.placeholder = !none && this.invert.checked ? '1' : String(this.models?.find((one) => one.id === this.modelBox.value)?.defaults.guidance ?? 1);
    this.button.textContent = !none && this.invert.checked ? 'Invert' : 'Run';
  }

  showEta() { this.etaBox.hidden = this.solver.value !== 'ddim'; }

  async send(onrun) {
    const found = { cond: Object.fromEntries(Object.entries(this.cond).filter(([, value]) => value !== '')) };
    const put = (name, control, turn = Number) => { if (control.value !== '') found[name] = turn(control.value); };
    put('guidance', this.guidance);
    put('steps', this.steps);
    put('seed', this.seed);
    put('guidance_interval', this.interval, String);
    put('guidance_rule', this.rule, String);
    put('negative', this.negative, String);
    if (this.solver.value) found.solver = this.solver.value === 'ddim' && this.eta.value !== '0' ? `ddim:eta=${this.eta.value}` : this.solver.value;
    if (!this.branch) {
      found.model = this.modelBox.value;
      found.n = Number(this.n.value) || 8;
      if (found.solver === 'auto') delete found.solver;
    } else if (this.keep?.()) found.keep = this.keep();
    this.button.disabled = true;
    try {
      if (this.picture.files.length && !this.branch) {
        found.image = (await upload(this.picture.files[0])).id;
        if (this.invert.checked) found.invert = true;
        else found.start = Number(this.start.value);
      }
      await onrun(found);
    } catch (error) {
      say(error.message, 'bad');
    }
    this.button.disabled = false;
  }
}
