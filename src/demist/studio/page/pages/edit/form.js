// What is asked of an edit: the model, the way, the words, and how to sample.
import { acting } from '../../lib/acting.js';
import { make, say } from '../../lib/dom.js';

const MODES = {
  inpaint: ['Inpaint', 'What you paint is made anew; every other pixel stays as it is.'],
  outpaint: ['Outpaint', 'The picture goes on beyond its edges.'],
  vary: ['Vary', 'All of the picture gets some noise, and is denoised again.'],
  instruct: ['Instruct', 'The picture is changed as you say; with a mask, only there.'],
};
const EDGES = ['left', 'right', 'top', 'bottom'];
const SOLVERS = ['auto', 'adams', 'ddim', 'ddim:eta=1', 'heun', 'dpmpp-2m', 'unipc', 'sde-dpmpp-2m', 'churn'];
const PICTURES = ['Picture', 'Masked', 'InLatents', 'LowResolution', 'NoisyImage', 'ControlImage', 'ImagePrompt', 'ImageVector', 'Sizes', 'Score', 'EmbeddedGuidance'];

const field = (name, control, hint) => make('label', { class: 'field' }, make('span', {}, name), control, hint ? make('span', { class: 'small muted' }, hint) : null);
const numeric = (name, attributes) => make('input', { type: 'number', inputmode: 'decimal', name, ...attributes });
export const plainModel = (model) => model.codec === 'Pixels' && Object.values(model.conditions).every(({ kind }) => !PICTURES.includes(kind));

export class Form {
  // `onmodel`, `onmode`, `onextend` are told of changes; `onrun(mode)` is asked for the edit.
  constructor({ onmodel, onmode, onextend, onrun }) {
    Object.assign(this, { mode: 'inpaint', cond: {}, onmode });
    this.modelBox = make('select', { name: 'model', onchange: () => { this.showModel(); onmodel(); } });
    this.modes = make('div', { class: 'modes', role: 'radiogroup', 'aria-label': 'Kind of edit' }, Object.entries(MODES).map(([name, [words]]) => make('label', { class: 'chip' }, make('input', { type: 'radio', name: 'mode', value: name, checked: name === 'inpaint', onchange: () => this.choose(name) }), make('span', {}, words))));
    this.hint = make('p', { class: 'small muted hint' });
    this.instruct = make('input', { name: 'instruct', placeholder: 'make the seven red' });
    this.imageGuidance = numeric('image-guidance', { min: 0, step: 0.1, placeholder: '1.5' });
    this.edges = Object.fromEntries(EDGES.map((edge) => [edge, numeric(edge, { min: 0, step: 1, value: '0', oninput: onextend })]));
    this.strength = make('input', { type: 'range', name: 'strength', min: '0', max: '1', step: '0.05', value: '1', oninput: () => this.say() });
    this.strengthSaid = make('output', { class: 'number' });
    this.conditions = make('div', { class: 'stack tight' });
    this.n = numeric('n', { min: 1, max: 32, step: 1, value: '4', oninput: () => this.say() });
    this.seed = numeric('seed', { min: 0, step: 1, value: '0' });
    this.steps = numeric('steps', { min: 1, max: 1000, step: 1 });
    this.guidance = numeric('guidance', { min: 0, max: 30, step: 0.5 });
    this.solver = make('select', { name: 'solver' }, SOLVERS.map((one) => make('option', { value: one === 'auto' ? '' : one }, one)));
    this.negative = make('input', { name: 'negative', placeholder: 'nothing' });
    this.fill = make('select', { name: 'fill' }, [['original', 'the picture'], ['noise', 'noise'], ['mean', 'mean colour']].map(([value, words]) => make('option', { value }, words)));
    this.blend = numeric('blend', { min: 0, step: 1, value: '0' });
    this.jumps = numeric('jumps', { min: 0, max: 20, step: 1, value: '0' });
    this.near = make('input', { type: 'checkbox', name: 'only-masked', onchange: () => { this.padding.disabled = !this.near.checked; onextend(); } });
    this.padding = numeric('padding', { min: 0, step: 1, value: '32', disabled: true, oninput: onextend });
    this.random = make('button', { type: 'button', title: 'Another seed', 'aria-label': 'Another seed', onclick: () => { this.seed.value = String(Math.floor(Math.random() * 1e6)); } }, '⚄');
    this.button = make('button', { class: 'primary', type: 'submit', disabled: true });
    this.parts = {
      outpaint: make('fieldset', { class: 'edges' }, make('legend', {}, 'Pixels to add'), EDGES.map((edge) => field(edge, this.edges[edge]))),
      instruct: make('div', { class: 'stack tight' }, field('What to change', this.instruct), field('Keep close to the picture', this.imageGuidance)),
      masked: make('div', { class: 'stack tight' },
        make('div', { class: 'pair' }, field('The hole begins as', this.fill), field('Seam, pixels', this.blend)),
        make('div', { class: 'pair' }, field('Look again, times', this.jumps), field('Pixels around', this.padding)),
        make('label', { class: 'small' }, this.near, 'Show the model only what lies around the mask')),
    };
    this.folded = acting(() => this.acted.map(([, words]) => words), () => this.putBack());
    const form = make('form', { class: 'stack tight', onsubmit: (event) => { event.preventDefault(); onrun(this.mode); } },
      field('Model', this.modelBox), this.modes, this.hint, this.parts.outpaint, this.parts.instruct, this.conditions,
      make('label', { class: 'field' }, make('span', { class: 'row spread' }, make('span', {}, 'Strength'), this.strengthSaid), this.strength),
      make('div', { class: 'pair' }, field('Variants', this.n), field('Seed', make('span', { class: 'seed' }, this.seed, this.random))),
      make('div', { class: 'pair' }, field('Guidance', this.guidance), field('Steps', this.steps)),
      make('div', {}, make('details', {}, make('summary', {}, 'More'), make('div', { class: 'stack tight more' }, this.parts.masked, make('div', { class: 'pair' }, field('Solver', this.solver), field('Lead away from', this.negative)))), this.folded),
      this.button);
    for (const name of ['input', 'change']) form.addEventListener(name, () => this.folded.tell());
    this.card = make('section', { class: 'card edit-form' }, make('h2', {}, 'Edit'), form);
    this.choose('inpaint', false);
  }

  show(models) {
    this.models = models.filter((model) => model.kind === 'images');
    this.modelBox.replaceChildren(...this.models.map((model) => make('option', { value: model.id }, model.from === 'package' ? `${model.name} (comes along)` : model.name)));
    this.showModel();
  }

  get model() { return this.models?.find((one) => one.id === this.modelBox.value); }

  showModel() {
    const { model } = this;
    if (!model) return;
    this.guidance.placeholder = String(model.defaults.guidance ?? 1);
    this.steps.placeholder = String(model.defaults.steps ?? 20);
    this.cond = {};
    const own = Object.entries(model.conditions).filter(([, { kind }]) => !PICTURES.includes(kind));
    this.prompts = own.filter(([name, { kind, classes }]) => !classes && /text|prompt|caption/i.test(`${kind} ${name}`)).map(([name]) => name);
    this.conditions.replaceChildren(...own.map(([name, { classes }]) => {
      if (!classes || classes.length > 24) return field(name, make('input', { name: `cond-${name}`, placeholder: 'none', oninput: (event) => { this.cond[name] = event.target.value; } }));
      return make('fieldset', { class: 'chips' }, make('legend', {}, name), [['', 'none'], ...classes.map((one) => [one, one])].map(([value, words]) => make('label', { class: 'chip' },
        make('input', { type: 'radio', name: `edit-${name}`, value, checked: value === '', onchange: () => { this.cond[name] = value; } }), make('span', {}, words))));
    }));
    this.hidePrompts();
  }

  // An instruction takes the place of a prompt.
  hidePrompts() {
    for (const name of this.prompts ?? []) this.conditions.querySelector(`[name="cond-${name}"]`).closest('label').hidden = this.mode === 'instruct';
  }

  // The folded options that act and are not as usual, each with its name.
  get acted() {
    const { fill, blend, jumps, near, solver, negative } = this, masked = !this.parts.masked.hidden;
    const found = [[solver, 'solver'], [negative, 'lead away from']].filter(([{ value }]) => value !== '');
    if (!masked) return found;
    if (fill.value !== 'original') found.push([fill, 'the hole begins as']);
    if (Number(blend.value)) found.push([blend, 'seam']);
    if (Number(jumps.value) && !jumps.disabled) found.push([jumps, 'look again']);
    if (near.checked && !near.disabled) found.push([near, 'only around the mask']);
    return found;
  }

  putBack() {
    for (const [control] of this.acted) if (control === this.near) control.checked = false; else control.value = control === this.fill ? 'original' : [this.blend, this.jumps].includes(control) ? '0' : '';
    this.padding.disabled = !this.near.checked;
    this.folded.tell();
    this.onmode(this.mode);
  }

  // What stands in the form, for the next visit; and taking it over.
  keep() {
    const named = [...this.card.querySelectorAll('input[name]:not([type="radio"]), select[name]')];
    return { mode: this.mode, cond: this.cond, open: this.card.querySelector('details').open, values: Object.fromEntries(named.map((one) => [one.name, one.type === 'checkbox' ? one.checked : one.value])) };
  }

  take({ mode, cond, open, values }) {
    if (this.models.some((one) => one.id === values.model)) { this.modelBox.value = values.model; this.showModel(); } else say(`The model ${values.model} is not here any more: another one is chosen.`, 'warn');
    this.choose(mode, false);
    for (const one of this.card.querySelectorAll('input[name], select[name]')) {
      if (one.type === 'radio') { if (one.name.startsWith('edit-')) one.checked = one.value === (cond[one.name.slice(5)] ?? ''); } else if (one.name in values && one !== this.modelBox) one[one.type === 'checkbox' ? 'checked' : 'value'] = values[one.name];
    }
    const known = new Set([...this.conditions.querySelectorAll('input')].map((one) => one.name.replace(/^(edit|cond)-/, '')));
    this.cond = Object.fromEntries(Object.entries(cond).filter(([name]) => known.has(name)));
    this.padding.disabled = !this.near.checked;
    this.card.querySelector('details').open = open;
    this.say();
  }

  // What the model can do; null: not known yet.
  able(facts) {
    for (const input of this.modes.querySelectorAll('input')) {
      input.disabled = facts !== null && !facts.modes.includes(input.value);
      input.closest('label').title = input.disabled ? 'This model has not learned to' : MODES[input.value][1];
      if (input.disabled && input.value === this.mode) this.choose('inpaint');
    }
    this.told = facts?.told ?? false;
    this.jumps.disabled = this.told;
    this.folded.tell();
    this.parts.masked.classList.toggle('told', this.told);
  }

  choose(mode, tell = true) {
    const usual = this.mode === 'vary' ? '0.6' : '1';
    this.mode = mode;
    for (const input of this.modes.querySelectorAll('input')) input.checked = input.value === mode;
    if (!tell || this.strength.value === usual) this.strength.value = mode === 'vary' ? '0.6' : '1';
    this.hint.textContent = MODES[mode][1];
    this.parts.outpaint.hidden = mode !== 'outpaint';
    this.parts.instruct.hidden = mode !== 'instruct';
    this.parts.masked.hidden = mode === 'vary';
    this.near.disabled = mode === 'outpaint';
    this.hidePrompts();
    this.say();
    if (tell) this.onmode(mode);
  }

  say() {
    this.strengthSaid.textContent = Number(this.strength.value).toFixed(2);
    const n = Number(this.n.value) || 1;
    this.button.textContent = n > 1 ? `Make ${n} variants` : 'Make one';
    this.folded.tell();
  }

  get extend() { return Object.fromEntries(EDGES.map((edge) => [edge, this.mode === 'outpaint' ? Math.max(0, Math.floor(Number(this.edges[edge].value) || 0)) : 0])); }

  // The settings of a job but for the picture and the mask. `masked`: whether there is a mask.
  settings(mode, masked) {
    const found = { model: this.modelBox.value, mode, n: Number(this.n.value) || 1, seed: Math.floor(Number(this.seed.value) || 0) };
    found.cond = Object.fromEntries(Object.entries(this.cond).filter(([name, value]) => value !== '' && !(mode === 'instruct' && this.prompts.includes(name))));
    const put = (name, control, turn = Number) => { if (control.value !== '' && !control.disabled) found[name] = turn(control.value); };
    put('guidance', this.guidance);
    put('steps', this.steps);
    put('solver', this.solver, String);
    put('negative', this.negative, String);
    if (mode === 'draw') return found;
    found.strength = Number(this.strength.value);
    if (mode === 'instruct') { found.instruct = this.instruct.value; put('image_guidance', this.imageGuidance); }
    if (mode === 'outpaint') found.extend = this.extend;
    if (mode !== 'outpaint' && !masked) return found;
    put('fill', this.fill, String);
    for (const name of ['blend', 'jumps']) put(name, this[name]);
    if (this.near.checked && mode !== 'outpaint') Object.assign(found, { only_masked: true, padding: Number(this.padding.value) || 0 });
    return found;
  }

  // Take the settings of an earlier job over.
  restore(settings) {
    if (this.models.some((one) => one.id === settings.model)) { this.modelBox.value = settings.model; this.showModel(); }
    if (settings.mode in MODES) this.choose(settings.mode, false);
    const put = (control, value) => { if (value !== undefined && value !== null) control.value = String(value); };
    for (const name of ['strength', 'n', 'seed', 'guidance', 'steps', 'solver', 'negative', 'fill', 'blend', 'jumps', 'padding', 'instruct']) put(this[name], settings[name]);
    put(this.imageGuidance, settings.image_guidance);
    for (const edge of EDGES) put(this.edges[edge], settings.extend?.[edge]);
    this.near.checked = Boolean(settings.only_masked);
    this.padding.disabled = !this.near.checked;
    for (const [name, value] of Object.entries(settings.cond ?? {})) {
      this.cond[name] = value;
      for (const input of this.conditions.querySelectorAll('input')) {
        if (input.name === `edit-${name}`) input.checked = input.value === value;
        else if (input.name === `cond-${name}`) input.value = value;
      }
    }
    this.say();
  }
}
