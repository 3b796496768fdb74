// A picture that was dropped on the page: its recipe as a difference to the present settings.
import { get, upload } from '../../lib/api.js';
import { make, say } from '../../lib/dom.js';
import { image } from './gallery.js';
import { title } from './form.js';

// What differs: [name, now, then].
export function differences(now, then) {
  const names = [...new Set([...Object.keys(now), ...Object.keys(then)])];
  return names.map((name) => [name, now[name] ?? '–', then[name] ?? '–']).filter(([, a, b]) => String(a) !== String(b));
}

export class Dropped {
  constructor(form) {
    this.form = form;
    this.card = make('section', { class: 'card dropped', hidden: true, 'aria-label': 'Recipe of a picture', tabindex: '-1' });
    this.choose = make('input', { type: 'file', class: 'visually-hidden', accept: 'image/png,image/jpeg,image/webp', 'aria-label': 'Open a picture for its recipe', id: 'recipe-file', onchange: () => { if (this.choose.files[0]) this.take(this.choose.files[0]); this.choose.value = ''; } });
  }

  // The whole page takes pictures; returns how it stops to.
  listen() {
    const has = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
    const over = (event) => { if (has(event)) { event.preventDefault(); document.body.classList.add('dropping'); } };
    const leave = (event) => { if (!event.relatedTarget) document.body.classList.remove('dropping'); };
    const drop = (event) => {
      if (!has(event)) return;
      event.preventDefault();
      document.body.classList.remove('dropping');
      if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
    };
    const all = [['dragover', over], ['dragleave', leave], ['drop', drop]];
    for (const [name, f] of all) window.addEventListener(name, f);
    return () => { document.body.classList.remove('dropping'); for (const [name, f] of all) window.removeEventListener(name, f); };
  }

  async take(blob) {
    try {
      const { id } = await upload(blob);
      const found = await get(`/api/uploads/${id}/settings`);
      this.show(found, `/api/uploads/${id}/image`);
    } catch (error) { say(error.message, 'bad'); }
  }

  show({ settings, missing }, url) {
    const { form } = this;
    const rows = differences(form.effective(form.values()), form.effective(settings));
    const same = !missing.length, promise = same
      ? 'Nothing is missing: the same weights on the same kind of device make the same pixels. The weights are compared first, and others are refused; on another device pixels may differ a little.'
      : 'Something is missing, so other pixels come out.';
    const words = same ? 'Restored: with the same weights, on the same kind of device, it makes the same pixels.' : `Restored as far as the recipe goes; it does not make the same pixels. ${missing.join(' ')}`;
    const use = (seed) => () => { form.set(settings, { seed }); this.card.hidden = true; form.button.focus(); say(seed ? words : ['Restored, without the seed.', ...missing].join(' '), same ? '' : 'warn'); };
    const cell = (text) => make('td', {}, text.length > 60 ? `${text.slice(0, 58)} …` : text);
    const name = (one) => (one in form.props ? title(one, form.props[one]) : title(one));
    this.card.replaceChildren(
      make('div', { class: 'row spread title' }, make('h2', {}, 'Recipe of a picture'), make('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', onclick: () => { this.card.hidden = true; } }, '×')),
      make('div', { class: 'dropped-body' }, make('div', { class: 'dropped-picture' }, image(url, 'the picture')),
        make('div', { class: 'stack tight' },
          missing.map((text) => make('p', { class: 'note warn' }, text)),
          rows.length ? make('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Differences' }, make('table', { class: 'options' }, make('thead', {}, make('tr', {}, ['Option', 'Now', 'Picture'].map((words) => make('th', { scope: 'col' }, words)))), make('tbody', {}, rows.map(([one, now, then]) => make('tr', { 'data-option': one }, make('th', { scope: 'row' }, name(one)), cell(String(now)), cell(String(then)))))))
            : make('p', { class: 'muted' }, 'The present settings are those of the picture.'),
          make('p', { class: 'small muted promise' }, promise),
          make('div', { class: 'row' }, make('button', { type: 'button', class: 'primary restore', onclick: use(true) }, 'Restore'), make('button', { type: 'button', class: 'but-seed', onclick: use(false) }, 'Everything but the seed')))));
    this.card.hidden = false;
    this.card.scrollIntoView({ block: 'nearest' });
    this.card.focus({ preventScroll: true });
  }
}
