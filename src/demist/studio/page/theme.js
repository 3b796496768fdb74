// Before the first paint: the theme that was chosen, or the system's.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem('demist-theme'); } catch { /* not allowed to remember */ }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
