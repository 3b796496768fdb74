// Random numbers that a seed decides: the same drawing on every machine.

// splitmix32, after Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators".
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 4294967296;
  };
}

// Box & Muller 1958.
export function normal(seed) {
  const next = uniform(seed);
  let kept = null;
  return () => {
    if (kept !== null) { const found = kept; kept = null; return found; }
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    const angle = 2 * Math.PI * next();
    kept = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}
