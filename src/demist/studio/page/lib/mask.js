// Masks as bytes, one a pixel: 0 is kept, 255 is made anew, greys are strengths between. Pure functions;
// `seen` is what demist/editing makes of a mask for a network, number by number.

// Where a stroke from one point to another changes a mask: {x, y, width, height}, within the picture.
function around(points, radius, width, height) {
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const x = Math.max(0, Math.floor(Math.min(...xs) - radius - 1)), y = Math.max(0, Math.floor(Math.min(...ys) - radius - 1));
  const right = Math.min(width, Math.ceil(Math.max(...xs) + radius + 1)), bottom = Math.min(height, Math.ceil(Math.max(...ys) + radius + 1));
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null;
}

// Draw from `a` to `b` with a round brush: 255 within hardness x radius, falling to 0 at the radius.
// A brush that is all hard leaves no greys. The pixel under the point is always touched.
export function stroke({ data, width, height }, a, b, { radius, hardness, erase }) {
  const box = around([a, b], Math.max(radius, 1), width, height);
  if (!box) return null;
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]], long = dx * dx + dy * dy;
  const reach = Math.max(radius, 0.71), core = reach * hardness;
  for (let y = box.y; y < box.y + box.height; y++) {
    for (let x = box.x; x < box.x + box.width; x++) {
      const [px, py] = [x + 0.5 - a[0], y + 0.5 - a[1]];
      const along = long ? Math.min(1, Math.max(0, (px * dx + py * dy) / long)) : 0;
      const away = Math.hypot(px - along * dx, py - along * dy);
      if (away > reach) continue;
      const value = away <= core || core >= reach ? 255 : Math.round(255 * (1 - (away - core) / (reach - core)));
      const i = y * width + x;
      data[i] = erase ? Math.min(data[i], 255 - value) : Math.max(data[i], value);
    }
  }
  return box;
}

// Fill what a closed line goes around: pixels whose middle lies inside (even-odd).
export function fill({ data, width, height }, points, value) {
  const box = points.length > 2 ? around(points, 0, width, height) : null;
  if (!box) return null;
  for (let y = box.y; y < box.y + box.height; y++) {
    const crossings = [];
    for (let i = 0; i < points.length; i++) {
      const [[ax, ay], [bx, by]] = [points[i], points[(i + 1) % points.length]];
      if ((ay <= y + 0.5) !== (by <= y + 0.5)) crossings.push(ax + (y + 0.5 - ay) / (by - ay) * (bx - ax));
    }
    crossings.sort((p, q) => p - q);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      for (let x = Math.max(0, Math.ceil(crossings[i] - 0.5)); x < Math.min(width, crossings[i + 1] - 0.5); x++) data[y * width + x] = value;
    }
  }
  return box;
}

// A rectangle of whole pixels, cut at the picture's edges; null if nothing of it lies inside.
export function rectangle({ data, width, height }, { x, y, width: w, height: h }, value) {
  const [left, top] = [Math.max(0, x), Math.max(0, y)], [right, bottom] = [Math.min(width, x + w), Math.min(height, y + h)];
  if (right <= left || bottom <= top) return null;
  for (let row = top; row < bottom; row++) data.fill(value, row * width + left, row * width + right);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

// A part of a mask, and putting it back: what undo keeps.
export function cut({ data, width }, box) {
  const part = new Uint8Array(box.width * box.height);
  for (let row = 0; row < box.height; row++) part.set(data.subarray((box.y + row) * width + box.x, (box.y + row) * width + box.x + box.width), row * box.width);
  return part;
}
export function paste({ data, width }, box, part) {
  for (let row = 0; row < box.height; row++) data.set(part.subarray(row * box.width, (row + 1) * box.width), (box.y + row) * width + box.x);
}

// A mask as a short text, runs of equal bytes as VALUE.LENGTH in base 36, and back; null if it is none of this size.
export function packed({ data }) {
  const runs = [];
  for (let i = 0, from = 0; i < data.length; i = from) {
    while (from < data.length && data[from] === data[i]) from++;
    runs.push(`${data[i].toString(36)}.${(from - i).toString(36)}`);
  }
  return runs.join(',');
}
export function unpacked(text, length) {
  const data = new Uint8Array(length);
  let at = 0;
  for (const run of text.split(',')) {
    const [value, long] = run.split('.').map((part) => parseInt(part, 36));
    if (!(value >= 0 && value < 256 && long > 0 && at + long <= length)) return null;
    data.fill(value, at, at += long);
  }
  return at === length ? data : null;
}

export const isHard = (data) => data.every((v) => v === 0 || v === 255);

// The smallest box around all that is not 0; null if there is nothing.
export function bounds({ data, width, height }) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    if (!data[y * width + x]) continue;
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), y];
  }
  return right < 0 ? null : { x: left, y: top, width: right + 1 - left, height: bottom + 1 - top };
}

// The part that a model is shown if it is shown only what lies around the mask (Sheet.around).
export function windowOf(mask, padding, [rows, columns]) {
  const inner = bounds(mask);
  if (!inner) return null;
  const [w, h] = [inner.width + 2 * padding, inner.height + 2 * padding];
  const width = Math.min(mask.width, Math.max(w, Math.ceil(h * columns / rows))), height = Math.min(mask.height, Math.max(h, Math.ceil(w * rows / columns)));
  const at = (from, size, whole, all) => Math.min(Math.max(0, from + Math.floor((size - whole) / 2)), all - whole);
  return { x: at(inner.x, inner.width, width, mask.width), y: at(inner.y, inner.height, height, mask.height), width, height };
}

// Means over the pixels of each of `size` places along a line, as Pillow's box filter takes them.
function spans(from, size) {
  const scale = from / size, wide = Math.max(1, scale);
  return Array.from({ length: size }, (_, i) => {
    const middle = (i + 0.5) * scale, first = Math.max(0, Math.trunc(middle - wide / 2 + 0.5)), last = Math.min(from, Math.trunc(middle + wide / 2 + 0.5));
    const found = [];
    for (let x = first; x < last; x++) {
      const at = (x - middle + 0.5) / wide;
      if (at > -0.5 && at <= 0.5) found.push(x);
    }
    return found;
  });
}

// The mask as the network sees it: of the window, at the model's size `sides` (a hard mask covers
// every pixel that is touched), then the largest value of each place of the state.
export function seen(mask, window, [height, width], [rows, columns]) {
  const part = { data: cut(mask, window), width: window.width, height: window.height };
  const hard = isHard(part.data), across = spans(part.width, width), down = spans(part.height, height);
  const same = part.width === width && part.height === height;
  const shown = new Float32Array(width * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    let sum = 0;
    if (same) sum = part.data[y * width + x] / 255;
    else {
      for (const v of down[y]) for (const u of across[x]) sum += part.data[v * part.width + u] / 255;
      sum /= down[y].length * across[x].length;
      if (hard) sum = sum > 1e-6 ? 1 : 0;
    }
    shown[y * width + x] = sum;
  }
  const values = new Float32Array(rows * columns);
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
    let most = 0;
    for (let v = Math.floor(y * height / rows); v < Math.ceil((y + 1) * height / rows); v++) {
      for (let u = Math.floor(x * width / columns); u < Math.ceil((x + 1) * width / columns); u++) most = Math.max(most, shown[v * width + u]);
    }
    values[y * columns + x] = most;
  }
  return { values, width: columns, height: rows };
}
