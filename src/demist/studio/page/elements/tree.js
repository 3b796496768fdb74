// <demist-branches>: samplings as lines from noise (left) to data, each branch leaving the line it came from.
// An inversion leads from right to left, and what comes back begins where it was left.
// `show({takes: [{id, parent, step, steps, label, picture, rising, back}], open, step})`; says `demist-take` with an id.
import { make } from '../lib/dom.js';

const ROW = 52, WIDTH = 92, LEFT = 6, RIGHT = 86;

class Branches extends HTMLElement {
  show({ takes, open, step }) {
    const byId = new Map(takes.map((take) => [take.id, take]));
    const order = [];
    const add = (id) => takes.filter((t) => (byId.has(t.parent) ? t.parent : null) === id).forEach((t) => { order.push(t); add(t.id); });
    add(null);
    const y = new Map(order.map((take, i) => [take.id, ROW * i + ROW / 2]));
    const x = (take, k) => {
      const share = k / Math.max(1, take.steps);
      if (take.rising) return RIGHT - (RIGHT - LEFT) * share;
      const begin = take.back && byId.has(take.parent) ? Math.min(x(byId.get(take.parent), take.step) + 10, RIGHT - 6) : LEFT;
      return begin + (RIGHT - begin) * share;
    };
    const lines = [], marks = [];
    for (const take of order) {
      const at = y.get(take.id), parent = byId.get(take.parent);
      const kind = `branch${take.id === open ? ' here' : ''}`;
      let begin = x(take, 0);
      if (parent) {
        const from = take.rising ? RIGHT : Math.min(x(parent, take.step), RIGHT - 12), above = y.get(parent.id);
        begin = from + (take.rising ? -10 : 10);
        lines.push(make('path', { class: kind, d: `M${from},${above} L${from},${at - 10} Q${from},${at} ${begin},${at}` }));
        marks.push(make('circle', { class: 'branch-fork', cx: from, cy: above, r: 3 }));
      }
      const end = take.rising ? LEFT : RIGHT;
      lines.push(make('line', { class: kind, x1: begin, x2: end, y1: at, y2: at }));
      if (take.rising) lines.push(make('path', { class: kind, d: `M${end + 6},${at - 5} L${end},${at} L${end + 6},${at + 5}` }));
      if (take.id === open) marks.push(make('circle', { class: 'branch-step', cx: parent && !take.rising ? Math.max(begin, x(take, step)) : x(take, step), cy: at, r: 5.5 }));
    }
    const height = ROW * order.length;
    const list = order.map((take) => {
      if (take.picture) { take.picture.className = 'pixels'; take.picture.setAttribute('aria-hidden', 'true'); }
      return make('button', {
        class: 'quiet branch-name', type: 'button', 'aria-pressed': String(take.id === open), 'data-take': take.id,
        onclick: () => this.dispatchEvent(new CustomEvent('demist-take', { detail: take.id, bubbles: true })),
      }, take.picture ?? make('span', { class: 'branch-none' }), make('span', {}, take.label));
    });
    this.replaceChildren(make('div', { class: 'branch-tree' },
      make('svg', { viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height, 'aria-hidden': 'true' }, lines, marks),
      make('div', { class: 'branch-list' }, list)));
  }
}
customElements.define('demist-branches', Branches);
