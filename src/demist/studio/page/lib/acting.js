// What acts although it is folded away: how many options, their names, and a button that puts them back.
import { make } from './dom.js';

// `names()` are those that are not at their default; `tell()` of what is returned draws it anew.
export function acting(names, back) {
  const words = make('span', { class: 'small' });
  const row = make('div', { class: 'acting', hidden: true }, words, make('button', { type: 'button', class: 'quiet put-back', onclick: back }, 'Put back'));
  row.tell = () => {
    const found = names();
    row.hidden = !found.length;
    words.textContent = `${found.length} set: ${found.join(', ')}`;
  };
  return row;
}
