// What the theme leaves out for people who use a keyboard or a screen reader, and elements of the studio where a
// page has some.
const own = document.currentScript.src;
document.addEventListener('DOMContentLoaded', () => {
  for (const caption of document.querySelectorAll('.caption[role="heading"]')) caption.setAttribute('aria-level', '2');
  // what is wider than the page is scrolled by the arrow keys
  for (const wide of document.querySelectorAll('pre, .table-wrapper, picture.wide')) wide.tabIndex = 0;
  if (document.querySelector('figure.live')) {
    const style = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: new URL('studio.css', own).href });
    const script = Object.assign(document.createElement('script'), { src: new URL('studio.js', own).href });
    document.head.append(style, script);
  }
});
