// The frame of the page: which pages there are, which is open, the theme, and what went wrong.
import { connected, events } from './lib/api.js';
import { make, say } from './lib/dom.js';
import { parse } from './lib/state.js';

// One line a page, in the order of the navigation: the first is where one begins. Its file in
// pages/ exports {title, element}: the name of a custom element, which is made anew for each visit.
export const PAGES = [
  { name: 'river', label: 'River' },
  { name: 'field', label: 'Field' },
  { name: 'denoise', label: 'Denoise' },
  { name: 'generate', label: 'Generate' },
  { name: 'edit', label: 'Edit' },
  { name: 'runs', label: 'Runs' },
];

const main = document.getElementById('main');
const nav = document.getElementById('nav');
let open = '';

for (const page of PAGES) nav.append(make('a', { href: `#/${page.name}` }, page.label));

async function show() {
  const { page: name, rest } = parse(location.hash);
  if (location.hash === '#main') return;
  const page = PAGES.find((one) => one.name === name) ?? PAGES[0];
  for (const link of nav.children) {
    if (link.hash === `#/${page.name}`) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'center' });
    } else link.removeAttribute('aria-current');
  }
  const wanted = `${page.name}/${rest}`;
  if (open === wanted) return; // only its state has changed, which the page itself looks after
  const moved = open !== '';
  open = wanted;
  try {
    const { default: found } = await import(`./pages/${page.name}.js`);
    if (open !== wanted) return; // somebody was quicker
    document.title = `${found.title} · demist studio`;
    const element = document.createElement(found.element);
    if (rest) element.setAttribute('rest', rest);
    main.replaceChildren(element);
    if (moved) main.focus({ preventScroll: true });
  } catch (error) {
    main.replaceChildren(make('p', { class: 'note bad' }, `This page cannot be shown: ${error.message}`));
  }
}

window.addEventListener('hashchange', show);
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});

// The theme: the system's, light, dark, and round again.
const button = document.getElementById('theme');
const THEMES = { system: ['◐', 'follows the system'], light: ['☀', 'light'], dark: ['☾', 'dark'] };

function theme(chosen) {
  const root = document.documentElement;
  if (chosen === 'system') delete root.dataset.theme;
  else root.dataset.theme = chosen;
  try { localStorage.setItem('demist-theme', chosen); } catch { /* not allowed to remember */ }
  const [sign, words] = THEMES[chosen];
  button.textContent = sign;
  button.title = `Colours: ${words}`;
  button.setAttribute('aria-label', `Colours: ${words}; change`);
  window.dispatchEvent(new CustomEvent('demist-theme'));
}
button.addEventListener('click', () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme ?? 'system') + 1) % names.length]);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  window.dispatchEvent(new CustomEvent('demist-theme'));
});
theme(document.documentElement.dataset.theme ?? 'system');

const line = document.getElementById('connection');
connected((well) => { line.textContent = well ? '' : 'The studio does not answer; trying again'; });
events((event) => {
  if (event.type === 'warning' || event.type === 'failed') say(event.message, 'bad');
});
show();
