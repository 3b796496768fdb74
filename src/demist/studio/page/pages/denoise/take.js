// One sampling on the page: its settings, how far it is, and its pictures, from previews or its trace.
import { file, preview } from '../../lib/api.js';
import { fromSheet, fromTrace } from '../../lib/pictures.js';
import { load, rms } from '../../lib/trace.js';

export const OVER = ['done', 'failed', 'cancelled'];
const SHOWN = 32; // sounds on a sheet, and sounds to be heard, at most

export class Take {
  constructor(job, models) {
    this.id = job.id;
    this.settings = job.settings ?? {};
    this.state = job.state ?? 'queued';
    this.message = '';
    this.models = models;
    this.model = this.settings.model ?? 'model-digits';
    this.n = this.settings.n ?? 8;
    this.steps = null;
    this.last = -1;
    this.sheets = [];
    this.facts = [];
    this.trace = null;
    this.back = null; // the inversion from which it comes back
    this.stop = () => {};
  }

  // It leads from data to noise.
  get rising() { return Boolean(this.settings.invert); }

  // Steps that it took over from its parent.
  get kept() { return this.settings.parent && !this.rising && !this.back ? this.settings.step : 0; }

  get kind() { return this.models?.find((one) => one.id === this.model)?.kind || 'images'; }

  get label() {
    const { cond = {}, parent, step, invert } = this.settings;
    const words = Object.values(cond).map(String);
    for (const [name, sign] of [['guidance', 'guidance '], ['solver', ''], ['steps', 'steps '], ['seed', 'seed ']]) {
      const value = this.settings[name];
      if (value !== undefined && value !== null && value !== '' && (parent || name === 'guidance')) words.push(`${sign}${value}`);
    }
    if (this.settings.keep?.length) words.push('a part kept');
    if (invert) return ['to noise', ...words].join(', ');
    if (this.back) return `back from ${step}: ${words.join(', ') || 'as it was'}`;
    const what = words.join(', ') || 'as before';
    return parent ? `${what}, from step ${step}` : words.join(', ') || 'no class';
  }

  // Take news in; true if something is to be drawn.
  async heard(event) {
    if (event.type === 'preview') return this.sheet(event);
    if (event.type === 'step') return this.stepped(event);
    if (event.type === 'started') this.state = 'running';
    if (OVER.includes(event.type)) this.state = event.type;
    if (event.message) this.message = event.message;
    if (event.type === 'state') {
      this.state = event.state;
      if (event.facts) this.stepped(event);
      if (!OVER.includes(event.state)) await Promise.all(Object.entries(event.previews ?? {}).map(([name, version]) => this.sheet({ job: this.id, name, version }).catch(() => {})));
    }
    if (this.state === 'done') await this.load();
    return true;
  }

  stepped({ step, of, facts }) {
    if (!OVER.includes(this.state)) [this.state, this.message] = ['running', ''];
    this.steps = of;
    this.facts[step] = facts;
    this.n = facts.n ?? this.n;
    while (this.sheets[this.last + 1]) this.last++;
    return true;
  }

  async sheet(event) {
    const found = /^moment-(\d+)\.png$/.exec(event.name);
    if (!found) return false;
    const blob = await preview(event).catch(() => null);
    if (!blob) return false;
    this.sheets[Number(found[1])] = await createImageBitmap(blob);
    this.last = Math.max(this.last, Number(found[1]));
    return this.facts[Number(found[1])] !== undefined; // else its step is told next, and both are drawn at once
  }

  load() {
    if (this.state !== 'done') return Promise.resolve();
    this.loading ??= load(file(this.id, 'trace.safetensors')).then(async (trace) => {
      // Sounds are seen as spectrograms, which the sheets have.
      if (this.kind === 'sounds') await Promise.all(Array.from({ length: trace.steps + 1 }, (_, k) => this.sheets[k] || this.sheet({ job: this.id, name: `moment-${String(k).padStart(3, '0')}.png` })));
      this.trace = trace;
      Object.assign(this, { steps: trace.steps, n: trace.n, last: trace.steps });
    });
    return this.loading;
  }

  // A new canvas, or null if that step is not there yet.
  picture(which, step, row) {
    // Of noise nothing was predicted yet: the prediction of the step before stands there.
    if (this.rising && which === 'x0' && step > 0 && step === this.steps) return this.picture(which, step - 1, row);
    if (this.trace && this.kind !== 'sounds') return fromTrace(this.trace, which, step, row);
    const sheet = this.sheets[step], columns = { images: this.n, sounds: Math.min(this.n, SHOWN) }[this.kind] ?? 1;
    return sheet ? fromSheet(sheet, which, columns > row ? row : 0, columns) : null;
  }

  // The address of the sound that was made; null: there is none to be heard.
  sound(row) { return this.kind === 'sounds' && this.trace && !this.rising && row < SHOWN ? file(this.id, `sound-${String(row).padStart(3, '0')}.wav`) : null; }

  // How what is shown comes about, in words, where it is not simply the numbers; '' else.
  get shown() {
    const latents = this.facts.findLast(Boolean)?.latents;
    const words = [];
    if (this.kind === 'sounds') words.push('Spectrograms: time to the right, frequency upwards; brightest is a tone of full scale (0 dB), black 80 dB below it.');
    if (latents === 'linear') words.push('This model works in latents. The steps are quick looks at them by a linear map to colours; the last is decoded by the autoencoder. Looking changes nothing of the sampling.');
    if (latents === 'decoded') words.push('This model works in latents and knows no linear map to colours, so every step is decoded by its autoencoder, which takes time. Looking changes nothing of the sampling.');
    return words.join(' ');
  }

  // The words of the prompt while it runs, once attention to them is recorded.
  get words() { return this.facts.findLast(Boolean)?.words ?? []; }

  // What it is about: where it ends, of an inversion where it begins.
  result(row) { return this.rising ? fromTrace(this.trace, 'x', 0, row) : fromTrace(this.trace, 'x0', this.steps, row); }

  // While it runs: where its steps lie, as (t, alpha, sigma) up to a factor.
  times() {
    return Array.from(this.facts, (facts) => {
      const snr = facts?.log_snr ?? (facts?.t > 0.5 ? -99 : 99);
      return [facts?.t ?? 1, Math.exp(snr / 2), 1];
    });
  }

  // While it runs: the lengths that it told.
  lines(row) {
    const of = (name) => Array.from(this.facts, (facts) => facts?.[name]?.[row] ?? NaN);
    return [
      { name: 'x_t', colour: '--plot-1', values: of('x') }, { name: 'x0', colour: '--plot-3', values: of('x0') },
      { name: 'change', colour: '--plot-2', dash: [5, 4], values: of('change') },
    ];
  }
}

// Where a step lies, in words.
export function said(take, step) {
  const t = take.trace ? take.trace.times[step] : take.facts[step]?.t;
  const snr = take.trace ? take.trace.logSnr(step) : take.facts[step]?.log_snr;
  const words = [`step ${step} of ${take.steps ?? '–'}`];
  if (t !== undefined) words.push(`t = ${t.toFixed(3)}`);
  if (snr !== undefined && snr !== null) words.push(`log-SNR = ${Number.isFinite(snr) ? snr.toFixed(1).replace('-', '−') : snr > 0 ? '∞' : '−∞'}`);
  return words.join('  ·  ');
}

// What an inversion is, or how far a way back ended from where it began; '' for other samplings.
export function journey(take, row) {
  const short = (value) => (value < 0.0001 ? value.toExponential(1) : value.toPrecision(2));
  if (!take.trace) return '';
  if (take.rising) {
    const noise = rms(take.trace.numbers('x', take.steps, row)) / take.trace.sigma[take.steps];
    return `This walk leads from data to noise. Its end is the noise from which the sampler makes this picture; its numbers have a root mean square of ${noise.toFixed(2)} (drawn noise: 1). Come back from it, as it was or with something changed.`;
  }
  const from = take.back?.trace;
  if (!from) return '';
  const [a, b] = [take.trace.numbers('x', take.steps, row), from.numbers('x', 0, row)];
  const apart = rms(a.map((v, i) => v - b[i]));
  const changed = ['guidance', 'guidance_rule', 'guidance_interval', 'negative', 'solver', 'steps'].some((name) => (take.settings[name] ?? null) !== null) || Object.keys(take.settings.cond ?? {}).length > 0;
  const found = `root mean square ${short(apart)} from where the inversion began, whose own is ${short(rms(b))}`;
  return changed ? `Back again, with a change: ${found}. That is the change and the error of the round trip together.` : `Back again, nothing changed: the error of the round trip is ${found}.`;
}
