// The tools above and below the canvas, and their keys. They act on a <demist-mask>.
import { TOOLS } from '../../elements/mask.js';
import { make, say } from '../../lib/dom.js';

const ICONS = {
  brush: 'M4 16.5c1.8 0 2.4-1 2.4-2.4a2.2 2.2 0 1 1 3 2c-1.3 1.1-3.7 1.1-5.4.4ZM9.5 11.5 16.5 3.5',
  eraser: 'M8.5 16.500H17M4 12.500l7.5-8 4.5 4.2-7.3 7.800H7Z',
  lasso: 'M10 3.500c4 0 7 1.9 7 4.400s-3 4.4-7 4.4-7-1.9-7-4.4 3-4.4 7-4.400ZM6.5 11.800c-1.6.6-1.4 2.4.2 2.2 1.3-.2 1.1 2.5-1.2 2.5',
  rectangle: 'M3.5 7V4.500H6M9 4.500h2M14 4.500h2.500V7M16.5 9.300v1.500M16.5 13v2.500H14M11 15.500H9M6 15.500H3.500V13M3.5 10.800V9.3',
  hand: 'M6.3 10.500V5.700a1.2 1.2 0 0 1 2.4 0V9 4.400a1.2 1.2 0 0 1 2.4 0V9 5.200a1.2 1.2 0 0 1 2.4 0v4.6-2a1.2 1.2 0 0 1 2.4 0V12c0 3-2 5-4.8 5-2 0-3.3-.9-4.3-2.700L4.2 11c.4-1.1 1.5-1.2 2.1-.5Z',
  undo: 'M7 4.5 3.5 8 7 11.500M4 8h7.500a4 4 0 0 1 0 8H8',
  redo: 'M13 4.5 16.5 8 13 11.500M16 8H8.500a4 4 0 0 0 0 8H12',
  invert: 'M10 3.500a6.5 6.5 0 1 0 0 13ZM10 3.500a6.5 6.5 0 0 1 0 13',
  clear: 'M4 6h12M8 6V4h4v2M5.5 6l.8 10.500h7.400L14.5 6M8.5 9v4.500M11.5 9v4.5',
  open: 'M10 12.500V3.500M6.5 7 10 3.5 13.5 7M3.5 12.500v4h13v-4',
  save: 'M10 3.500v9M6.5 9l3.5 3.500L13.5 9M3.5 12.500v4h13v-4',
  network: 'M3.5 3.500h13v13h-13ZM7.8 3.500v13M12.2 3.500v13M3.5 7.800h13M3.5 12.200h13',
  minus: 'M4.5 10h11', plus: 'M4.5 10h11M10 4.500v11', fit: 'M3.5 7.500v-4h4M12.5 3.500h4v4M16.5 12.500v4h-4M7.5 16.500h-4v-4',
};
const icon = (name) => make('svg', { viewBox: '0 0 20 20', class: 'icon', 'aria-hidden': 'true' }, make('path', { d: ICONS[name], class: name === 'invert' ? 'half' : null }));
const VIEWS = { mask: ['Mask', '1'], result: ['Result', '2'], compare: ['Before / after', '3'] };

// A mask in a file, at the size of the picture, as grey bytes; what is transparent is laid over white.
export async function maskOf(file, width, height) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' });
  const canvas = make('canvas', { width, height }), context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height), found = new Uint8Array(width * height);
  for (let i = 0; i < found.length; i++) found[i] = (data[4 * i] * 19595 + data[4 * i + 1] * 38470 + data[4 * i + 2] * 7471 + 0x8000) >> 16;
  return { data: found, width: bitmap.width, height: bitmap.height };
}

export const blobOf = (canvas) => new Promise((give) => { canvas.toBlob(give, 'image/png'); });

export class Tools {
  // `canvas`: a <demist-mask>; `network()` turns the view of the network on and off.
  constructor(canvas, { network, view }) {
    Object.assign(this, { canvas, network, view });
    this.buttons = {};
    const button = (name, words, key, act) => {
      const title = key ? `${words} (${key})` : words;
      this.buttons[name] = make('button', { type: 'button', class: 'tool', title, 'aria-label': words, 'aria-keyshortcuts': key && /^[\w]$/.test(key) ? key : null, 'data-tool': name, onclick: act }, icon(name));
      return this.buttons[name];
    };
    const words = { brush: 'Brush', eraser: 'Eraser', lasso: 'Lasso: go around what is made anew; Shift takes away', rectangle: 'Rectangle; Shift takes away', hand: 'Hand: move the picture; Space, too' };
    this.size = make('input', { type: 'range', min: '1', max: '100', step: '1', value: '6', title: 'Size of the brush ([ and ])', 'aria-label': 'Size of the brush', oninput: () => { canvas.set({ size: Number(this.size.value) }); this.follow(); } });
    this.hardness = make('input', { type: 'range', min: '0', max: '100', step: '5', value: '100', title: 'Hardness: below 100 % the edge is soft, a strength of its own for each pixel (, and .)', 'aria-label': 'Hardness of the brush', oninput: () => { canvas.set({ hardness: Number(this.hardness.value) / 100 }); this.follow(); } });
    [this.sizeSaid, this.hardSaid, this.zoomSaid] = ['6 px', '100 %', ''].map((text) => make('output', { class: 'small' }, text));
    const file = make('input', { type: 'file', accept: 'image/png,image/jpeg,image/webp', hidden: true, 'aria-label': 'File of the mask', onchange: () => { if (file.files[0]) this.load(file.files[0]); file.value = ''; } });
    this.where = make('input', { class: 'box', placeholder: 'x, y, w, h', size: 11, 'aria-label': 'Rectangle in pixels: x, y, width, height', title: 'A rectangle of the mask in pixels, from the upper left corner: x, y, width, height' });
    const typed = make('form', { class: 'row boxed', onsubmit: (event) => { event.preventDefault(); this.box(); } }, this.where, make('button', { type: 'submit', title: 'Add this rectangle to the mask' }, 'Add box'));
    this.bar = make('div', { class: 'tools', role: 'toolbar', 'aria-label': 'Tools of the mask' },
      make('div', { class: 'segments' }, Object.keys(TOOLS).map((name) => button(name, words[name], TOOLS[name].toUpperCase(), () => this.pick(name)))),
      make('div', { class: 'sliders' }, make('label', { class: 'small' }, 'Size', this.size, this.sizeSaid), make('label', { class: 'small' }, 'Hardness', this.hardness, this.hardSaid)),
      make('div', { class: 'segments' }, button('undo', 'Undo', 'Ctrl+Z', () => canvas.undo()), button('redo', 'Redo', 'Ctrl+Shift+Z', () => canvas.redo())),
      make('div', { class: 'segments' }, button('invert', 'Invert the mask', 'I', () => canvas.invert()), button('clear', 'Clear the mask', 'Delete', () => canvas.clear())),
      make('div', { class: 'segments' }, button('open', 'Import a mask: white is made anew', '', () => file.click()), button('save', 'Export the mask as PNG', '', () => this.save())),
      button('network', 'Show the mask as the network sees it', 'G', () => network()), file);
    this.views = make('div', { class: 'segments', role: 'group', 'aria-label': 'What is shown' }, Object.entries(VIEWS).map(([name, [text, key]]) => make('button', { type: 'button', 'data-view': name, title: `${text} (${key})`, onclick: () => view(name) }, text)));
    this.border = make('input', { type: 'range', min: '0', max: '100', value: '50', class: 'border', 'aria-label': 'Border between before and after', oninput: () => canvas.set({ border: Number(this.border.value) / 100 }) });
    this.said = make('p', { class: 'small muted caption' });
    this.facts = make('div', { class: 'row spread facts-row' }, this.said, typed);
    this.foot = make('div', { class: 'foot' }, this.views, this.border,
      make('div', { class: 'zooms' }, button('minus', 'Smaller', '−', () => canvas.zoom(1 / 1.4)), this.zoomSaid, button('plus', 'Larger', '+', () => canvas.zoom(1.4)), button('fit', 'All of the picture', '0', () => canvas.fit())));
    canvas.addEventListener('demist-mask', () => this.follow());
    canvas.addEventListener('demist-view', () => this.follow());
    canvas.addEventListener('demist-border', () => { this.border.value = String(Math.round(100 * canvas.border)); });
    this.follow();
  }

  pick(tool) {
    this.canvas.set({ tool });
    if (tool !== 'hand' && this.canvas.view !== 'mask') this.view('mask');
    this.follow();
  }

  // What is set here, for the next visit; and taking it over.
  keep() {
    const { where, size, hardness, canvas: { tool } } = this;
    return { tool, where: where.value, size: size.value, hardness: hardness.value };
  }

  take({ tool, where, size, hardness }) {
    Object.assign(this.where, { value: where });
    for (const [input, value] of [[this.size, size], [this.hardness, hardness]]) { input.value = value; input.dispatchEvent(new Event('input')); }
    this.canvas.set({ tool });
  }

  // A sensible brush for a picture of this size.
  fitTo({ width, height }) {
    const long = Math.max(width, height);
    this.size.max = String(Math.max(8, Math.round(long / 2)));
    this.size.value = String(Math.max(2, Math.round(long / 6)));
    this.canvas.set({ size: Number(this.size.value) });
    this.follow();
  }

  follow() {
    const { canvas } = this, painting = Boolean(canvas.picture) && canvas.editable;
    for (const name of Object.keys(TOOLS)) {
      this.buttons[name].setAttribute('aria-pressed', String(canvas.tool === name));
      this.buttons[name].disabled = !canvas.picture || (name !== 'hand' && !painting);
    }
    for (const name of ['invert', 'clear', 'open', 'save']) this.buttons[name].disabled = !painting;
    this.buttons.undo.disabled = !painting || !canvas.done.length;
    this.buttons.redo.disabled = !painting || !canvas.undone.length;
    for (const name of ['network', 'minus', 'plus', 'fit']) this.buttons[name].disabled = !canvas.picture;
    for (const control of [this.size, this.hardness, this.where]) control.disabled = !painting;
    this.buttons.network.setAttribute('aria-pressed', String(Boolean(canvas.shown)));
    for (const one of this.views.children) {
      one.setAttribute('aria-pressed', String(one.dataset.view === canvas.view));
      one.disabled = !canvas.picture || (one.dataset.view !== 'mask' && !canvas.after);
    }
    this.border.style.visibility = canvas.view === 'compare' && canvas.after ? 'visible' : 'hidden';
    this.sizeSaid.textContent = `${this.size.value} px`;
    this.hardSaid.textContent = `${this.hardness.value} %`;
    this.zoomSaid.textContent = canvas.scale ? `${Math.round(100 * canvas.scale)} %` : '';
  }

  box() {
    const numbers = this.where.value.split(/[\s,;]+/).filter(Boolean).map(Number), [x, y, width, height] = numbers;
    if (numbers.length !== 4 || !numbers.every(Number.isInteger) || width < 1 || height < 1) {
      say(`“${this.where.value}”: write x, y, width, height in whole pixels, such as 8, 8, 16, 12`, 'bad');
      return;
    }
    if (!this.canvas.box({ x, y, width, height })) say(`The rectangle ${numbers.join(', ')} lies outside of the picture`, 'bad');
    else if (this.canvas.view !== 'mask') this.view('mask');
  }

  async load(file) {
    const { width, height } = this.canvas.mask;
    try {
      const found = await maskOf(file, width, height);
      if (found.width !== width || found.height !== height) say(`The mask had ${found.width} × ${found.height} pixels: it was resized to the picture's ${width} × ${height}.`);
      this.canvas.load(found.data);
    } catch { say('This is no picture that the browser reads; give a PNG, white where all is made anew', 'bad'); }
  }

  async save() {
    const url = URL.createObjectURL(await blobOf(this.canvas.grey()));
    make('a', { href: url, download: 'mask.png' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  // Keys, while the canvas or its tools have the focus.
  key(event) {
    const { canvas } = this, field = event.target.closest('input:not([type="range"]), select, textarea');
    if (field || event.altKey || !canvas.picture) return;
    const key = event.key.toLowerCase(), own = event.target === canvas;
    const press = (name) => { if (!this.buttons[name].disabled) this.buttons[name].click(); };
    if (event.ctrlKey || event.metaKey) {
      if (key === 'z') press(event.shiftKey ? 'redo' : 'undo');
      else if (key === 'y') press('redo');
      else return;
      event.preventDefault();
      return;
    }
    const nudge = (input, by) => { if (input.disabled) return; input.value = String(Number(input.value) + by); input.dispatchEvent(new Event('input')); };
    const acts = {
      ...Object.fromEntries(Object.entries(TOOLS).map(([name, short]) => [short, () => press(name)])),
      i: () => press('invert'), g: () => press('network'), '+': () => canvas.zoom(1.4), '=': () => canvas.zoom(1.4), '-': () => canvas.zoom(1 / 1.4), '−': () => canvas.zoom(1 / 1.4), 0: () => canvas.fit(),
      '[': () => nudge(this.size, -1), ']': () => nudge(this.size, 1), ',': () => nudge(this.hardness, -5), '.': () => nudge(this.hardness, 5),
      ...Object.fromEntries(Object.entries(VIEWS).map(([name, [, number]]) => [number, () => { if (name === 'mask' || canvas.after) this.view(name); }])),
    };
    const moves = { arrowleft: [48, 0], arrowright: [-48, 0], arrowup: [0, 48], arrowdown: [0, -48] };
    if (own && key in moves) {
      if (canvas.view === 'compare' && !moves[key][1]) { canvas.set({ border: Math.min(1, Math.max(0, canvas.border - Math.sign(moves[key][0]) * 0.05)) }); this.border.value = String(Math.round(100 * canvas.border)); } else canvas.pan(...moves[key]);
    } else if (own && key === ' ') canvas.space = true;
    else if (key === 'escape') canvas.drop();
    else if (own && (key === 'delete' || key === 'backspace')) press('clear');
    else if (key in acts) acts[key]();
    else return;
    event.preventDefault();
  }
}
