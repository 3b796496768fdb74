// What is on the page, kept for as long as its tab is open: picture, mask, settings and job come back after a
// reload, and after a visit to another page. The history of undo does not.
import { say } from '../../lib/dom.js';
import { packed, unpacked } from '../../lib/mask.js';

const KEY = 'demist-edit';

export function recall() {
  try { return JSON.parse(sessionStorage.getItem(KEY)); } catch { return null; }
}

export class Kept {
  // `now()` gives what is to be kept; nothing is kept before `begin`, so that half a page replaces nothing.
  constructor(now) {
    this.now = now;
    this.leave = () => this.write();
  }

  begin() {
    this.begun = true;
    window.addEventListener('pagehide', this.leave);
  }

  end() {
    this.write();
    window.removeEventListener('pagehide', this.leave);
    this.begun = false;
  }

  later() {
    clearTimeout(this.due);
    this.due = setTimeout(() => this.write(), 300);
  }

  write() {
    clearTimeout(this.due);
    if (!this.begun) return;
    const value = this.now();
    try { sessionStorage.setItem(KEY, JSON.stringify(value)); } catch {
      // A mask of so many greys is too long for the browser: better the settings alone than nothing.
      try { sessionStorage.setItem(KEY, JSON.stringify({ ...value, mask: '' })); } catch { /* nothing may be kept here */ }
      if (!this.said) say('This mask is too large to be kept by the browser: save it as PNG before you leave the page or reload it.', 'warn');
      this.said = true;
    }
  }
}

export const maskToKeep = ({ mask }) => (mask?.data.some(Boolean) ? packed(mask) : '');

// Paint a kept mask again; says so if it is not one of this picture.
export function paintAgain(canvas, text) {
  const data = canvas.picture && text ? unpacked(text, canvas.mask.data.length) : null;
  if (data) canvas.load(data);
  else if (text) say('The mask that was painted here does not fit the picture any more: paint it again.', 'warn');
  return data !== null;
}
