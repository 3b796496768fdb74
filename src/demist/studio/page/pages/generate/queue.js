// What runs and what waits: progress, when it will be done, other order, cancel.
import { post } from '../../lib/api.js';
import { duration, make, say } from '../../lib/dom.js';

export const described = (job) => {
  const { cond = {}, grid, n = 8, only, seed, model = 'model-digits' } = job.settings ?? {};
  if (job.kind !== 'generate') return job.kind.replaceAll('_', ' ');
  const words = (value) => { const all = [value].flat(); return all.length > 4 ? `${all.slice(0, 3).join(', ')} …` : all.join(', '); };
  const what = Object.entries(cond).map(([name, value]) => (/text|prompt|caption/i.test(name) ? words(value) : `${name} ${words(value)}`)).join(', ');
  const many = grid?.length ? grid.join(' × ') : only !== undefined && only !== null ? `number ${only} of ${n}` : n === 1 ? 'one' : `${n} at once`;
  return [what || model.replace(/^(model|run)-/, ''), many, seed === undefined ? null : `seed ${seed}`].filter(Boolean).join(' · ');
};

export class QueueCard {
  constructor() {
    this.list = make('ol', { class: 'queue' });
    this.count = make('span', { class: 'muted small' });
    this.card = make('section', { class: 'card queue-card', hidden: true }, make('div', { class: 'row spread title' }, make('h2', {}, 'Queue'), this.count), this.list);
    this.rows = new Map();
  }

  // `work(job)` says how many steps of a picture a job has, `rate` how long one takes (seconds).
  show(jobs, { work, rate }) {
    const rank = (job) => (job.state === 'running' ? -1 : job.place ?? 1e9);
    const open = jobs.filter((job) => job.state === 'running' || job.state === 'queued').sort((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id));
    this.card.hidden = !open.length;
    for (const id of this.rows.keys()) if (!open.some((job) => job.id === id)) this.rows.delete(id);
    let ahead = 0;
    const focus = document.activeElement?.dataset?.queue;
    const rows = open.map((job, i) => {
      const row = this.rows.get(job.id) ?? this.row(job);
      this.rows.set(job.id, row);
      const own = job.state === 'running' ? this.left(job) : work(job) * rate(job);
      row.waiting(job, open, i);
      row.tell(job, own, ahead);
      ahead += own;
      return row.element;
    });
    if (String(rows.map((r) => r.dataset.job)) !== String([...this.list.children].map((r) => r.dataset.job))) this.list.replaceChildren(...rows);
    if (focus) this.list.querySelector(`[data-queue="${focus}"]:not(:disabled)`)?.focus();
    const whole = Number.isFinite(ahead) && ahead > 0 ? `, about ${duration(ahead)}` : '';
    this.count.textContent = `${open.length} job${open.length > 1 ? 's' : ''}${whole}`;
  }

  // Seconds that a running job still needs, from the steps it has measured.
  left(job) {
    const each = job.facts?.each;
    return each && job.of ? each * (job.of - job.step) : NaN;
  }

  row(job) {
    const bar = make('progress', { class: 'bar', max: 1, value: 0, 'aria-label': `Progress of ${described(job)}` });
    const words = make('span', { class: 'muted small when' });
    const name = make('span', { class: 'queue-name' }, described(job));
    const badge = make('span', { class: 'badge queued' }, '');
    const act = (f) => () => f().catch((error) => say(error.message, 'bad'));
    const button = (what, sign, label, f) => make('button', { type: 'button', class: 'quiet', 'data-queue': `${what}-${job.id}`, 'aria-label': `${label}: ${described(job)}`, title: label, onclick: f }, sign);
    const up = button('up', '↑', 'Earlier', act(() => post(`/api/jobs/${job.id}/move`, { before: up.before })));
    const down = button('down', '↓', 'Later', act(() => post(`/api/jobs/${job.id}/move`, { before: down.before })));
    const cancel = button('cancel', 'Cancel', 'Cancel', act(() => post(`/api/jobs/${job.id}/cancel`)));
    const element = make('li', { 'data-job': job.id }, make('div', { class: 'queue-line' }, badge, name, words), make('div', { class: 'queue-buttons' }, up, down, cancel), bar);
    return {
      element,
      waiting(now, open, i) {
        const queued = open.filter((one) => one.state === 'queued'), at = queued.findIndex((one) => one.id === job.id);
        up.hidden = down.hidden = now.state === 'running';
        up.disabled = at <= 0;
        down.disabled = at < 0 || at === queued.length - 1;
        up.before = queued[at - 1]?.id;
        down.before = queued[at + 2]?.id ?? null;
      },
      tell(now, own, ahead) {
        element.dataset.state = now.state;
        badge.className = `badge ${now.state}`;
        badge.textContent = now.state === 'running' ? (now.of ? `step ${now.step} of ${now.of}` : 'starting') : 'waits';
        bar.hidden = now.state !== 'running';
        bar.max = now.of || 1;
        bar.value = now.step || 0;
        const time = now.state === 'running' ? (Number.isFinite(own) ? `${duration(own)} left` : '') : Number.isFinite(ahead) && ahead > 0 ? `begins in about ${duration(ahead)}` : '';
        words.textContent = time;
      },
    };
  }
}
