// What the theme leaves out for people who use a keyboard or a screen reader.
document.addEventListener('DOMContentLoaded', () => {
  for (const caption of document.querySelectorAll('.caption[role="heading"]')) caption.setAttribute('aria-level', '2');
  // what is wider than the page is scrolled by the arrow keys
  for (const wide of document.querySelectorAll('pre, .table-wrapper')) wide.tabIndex = 0;
});
