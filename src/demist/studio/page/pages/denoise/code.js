// "Copy as": the program and the commands that make the same samples.
import { file, get } from '../../lib/api.js';
import { make, say } from '../../lib/dom.js';

export function codeCard() {
  const text = make('pre', { class: 'code', tabindex: '0' });
  let code = null, which = 'python';
  const tab = (name, words) => make('button', { type: 'button', 'data-code': name, 'aria-pressed': String(name === which), onclick: () => { which = name; draw(); } }, words);
  const tabs = make('div', { class: 'segments' }, tab('python', 'Python'), tab('shell', 'Command line'));
  const copy = make('button', {
    type: 'button', onclick: async () => {
      try { await navigator.clipboard.writeText(text.textContent); say('Copied: it makes the same pixels.'); } catch { getSelection().selectAllChildren(text); }
    },
  }, 'Copy');
  const card = make('section', { class: 'card code-card', hidden: true }, make('div', { class: 'row spread title' }, make('h2', {}, 'The same as code'), make('div', { class: 'row' }, tabs, copy)), text);
  function draw() {
    for (const one of tabs.children) one.setAttribute('aria-pressed', String(one.dataset.code === which));
    text.textContent = code === null ? '' : which === 'python' ? code.python : code.shell || code.why_none;
  }
  async function show(id, take) {
    card.hidden = take?.state !== 'done';
    if (card.hidden) return;
    try { code = await get(file(id, 'code.json')); } catch { card.hidden = true; }
    draw();
  }
  return { card, show };
}
