'use strict';
// The page is complete without scripts; everything here is an addition.
(() => {
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);

  // Light, dark, or that of the system; kept for the next page.
  const theme = by('theme');
  const names = { '': ['◐', 'system'], light: ['☀', 'light'], dark: ['☾', 'dark'] };
  const show = () => {
    const [sign, name] = names[root.dataset.theme || ''];
    theme.textContent = sign;
    theme.title = `Theme: ${name}`;
    theme.setAttribute('aria-label', theme.title);
  };
  theme.hidden = false;
  show();
  theme.addEventListener('click', () => {
    const next = { '': 'light', light: 'dark', dark: '' }[root.dataset.theme || ''];
    if (next) root.dataset.theme = next; else delete root.dataset.theme;
    try {
      if (next) localStorage.setItem('mien-theme', next); else localStorage.removeItem('mien-theme');
    } catch { /* storage is not allowed here */ }
    show();
  });

  // Marks the section in view in the navigation.
  const links = [...document.querySelectorAll('nav a')];
  const here = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.classList.toggle('here', link.hash === '#' + entry.target.id));
      const link = links.find((one) => one.hash === '#' + entry.target.id);
      const strip = link.parentElement;
      strip.scrollLeft = link.offsetLeft - strip.offsetLeft - (strip.clientWidth - link.clientWidth) / 2;
    }
  }, { rootMargin: '-20% 0px -75% 0px' });
  document.querySelectorAll('main > section').forEach((section) => here.observe(section));

  // A page on paper has everything open.
  let closed = [];
  addEventListener('beforeprint', () => {
    closed = [...document.querySelectorAll('details:not([open])')];
    closed.forEach((one) => { one.open = true; });
    document.querySelectorAll('img[loading]').forEach((image) => { image.loading = 'eager'; });
  });
  addEventListener('afterprint', () => { closed.forEach((one) => { one.open = false; }); });

  // Sort and filter: a form, a parent and its children with data-* values.
  const arrange = (form, parent) => {
    if (!form || !parent) return;
    const items = [...parent.children];
    const keys = { pairs: (x) => +x.dataset.i, sure: (x) => -x.dataset.c, unsure: (x) => +x.dataset.c };
    const apply = () => {
      const { truth, predicted, order, pattern } = form.elements;
      const fits = (x) => (!truth || !truth.value || x.dataset.t === truth.value)
        && (!predicted || !predicted.value || x.dataset.p === predicted.value)
        && (!pattern || !pattern.value || x.dataset.w === pattern.value);
      let shown = 0;
      items.forEach((x) => { x.hidden = !fits(x); shown += x.hidden ? 0 : 1; });
      if (order) {
        const key = keys[order.value];
        parent.append(...[...items].sort((a, b) => key(a) - key(b)));
      }
      const all = shown === items.length;
      form.querySelector('output').textContent = all ? `${shown} shown` : `${shown} of ${items.length} shown`;
    };
    form.addEventListener('change', apply);
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('reset', () => setTimeout(apply));
    apply();
  };
  arrange(by('gallery-controls'), by('gallery'));
  arrange(by('answers-controls'), document.querySelector('#answers tbody'));

  // The image over a point of the projection.
  const plot = by('projection');
  if (!plot) return;
  let points = null;
  const tip = document.createElement('div');
  tip.id = 'tip';
  tip.hidden = true;
  tip.setAttribute('role', 'status');
  document.body.append(tip);
  let marked = null;
  const hide = () => { tip.hidden = true; marked = null; };
  const tell = (mark, x, y) => {
    points ??= JSON.parse(by('points').textContent);
    const point = points[mark.dataset.row];
    if (!point) return;
    if (marked !== mark) {
      marked = mark;
      const [jpeg, truth, predicted, confidence, path] = point;
      tip.replaceChildren();
      if (jpeg) {
        const image = new Image();
        image.src = 'data:image/jpeg;base64,' + jpeg;
        image.alt = truth;
        tip.append(image);
      }
      const line = (text, bold) => {
        const part = document.createElement(bold ? 'b' : 'span');
        part.textContent = text;
        tip.append(part);
        return part;
      };
      line(truth, true);
      line((truth === predicted ? 'classified correctly, ' : `predicted as ${predicted}, `) + confidence);
      line(path).className = 'path';
    }
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - width - 4)) + 'px';
    tip.style.top = Math.max(4, y + 14 + height > innerHeight ? y - height - 14 : y + 14) + 'px';
  };
  const over = (event) => {
    const mark = event.target.closest && event.target.closest('.point');
    if (mark) tell(mark, event.clientX, event.clientY); else hide();
  };
  plot.addEventListener('pointermove', over);
  plot.addEventListener('pointerdown', over);
  plot.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse') hide(); });
  addEventListener('scroll', hide, { passive: true });
  addEventListener('keydown', (event) => { if (event.key === 'Escape') hide(); });
})();
