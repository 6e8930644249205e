// On every page: search (`/`), the keys of the page (`?`), and the form that chooses the look.
//
// <a|button data-means="...">           shows the meaning of a word
// <button data-open-search>              opens the search; answers come from GET /search?q=
// <button data-who-act="switch" data-profile="..."> answers "Who are you?"
// <input name="theme|text-size" ...> in a form with `data-look` sets the look at once and keeps it in this browser

(() => {
  // ---- the look: `look.js` applies it, a form in Settings chooses it

  // Gradio follows the system when it starts, and whenever the system changes.
  function keepLook() {
    applyLook();
    new MutationObserver(applyLook).observe(document.body, { attributes: true, attributeFilter: ['class'] });
  }

  if (document.body) keepLook(); else document.addEventListener('DOMContentLoaded', keepLook);

  document.addEventListener('change', (event) => {
    const form = event.target.closest('form[data-look]');
    if (!form) return;
    if (event.target.name === 'view') {
      sessionStorage.setItem('view', event.target.value);
      document.documentElement.classList.toggle('projector', event.target.value === 'projector');
    } else {
      localStorage.setItem(event.target.name, event.target.value);
      applyLook();
    }
  });

  // The page as it is now, in the projector view; its settings may be newer than the link.
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-projector]');
    if (!link) return;
    const address = new URL(location);
    address.searchParams.set('view', 'projector');
    link.href = address;
  });

  // A form of this kind shows what is chosen now, whenever it comes onto the page.
  new MutationObserver(() => document.querySelectorAll('form[data-look]:not([data-settled])').forEach((form) => {
    form.dataset.settled = '';
    for (const name of ['theme', 'text-size', 'view']) {
      const value = name === 'view' ? (document.documentElement.classList.contains('projector') ? 'projector' : 'usual') : chosenLook(name);
      const input = form.querySelector(`input[name="${name}"][value="${value || (name === 'theme' ? 'system' : 'usual')}"]`);
      if (input) input.checked = true;
    }
  })).observe(document.documentElement, { childList: true, subtree: true });

  // ---- who are you? Today answers it on every page

  // Who starts to answer is new here. The question keeps its room until the next page, so that nothing moves under the hand;
  // in a narrow window it would keep a quarter of it.
  function stopAsking() {
    const notice = document.querySelector('[data-who]');
    if (!notice) return;
    if (matchMedia('(max-width: 640px)').matches) notice.remove();
    else Object.assign(notice, { inert: true }).style.visibility = 'hidden';
  }

  document.addEventListener('submit', (event) => { if (event.target.closest('#main')) stopAsking(); });

  document.addEventListener('click', async (event) => {
    const choice = event.target.closest('[data-who-act]');
    const notice = document.querySelector('[data-who]');
    if (event.target.closest('#main [data-act]')) stopAsking();
    if (!choice) return;
    try {
      const answer = await fetch('/act/today', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ act: choice.dataset.whoAct, profile: choice.dataset.profile }),
      });
      const reply = await answer.json();
      if (reply.error) notice.lastElementChild.append(` ${reply.error}`);
      else if (reply.goto) location.reload();
      else { notice.remove(); document.getElementById('main')?.focus({ preventScroll: true }); }
    } catch {
      notice.lastElementChild.append(' The app did not answer. Press it again.');
    }
  });

  // ---- dialogs

  const isTyping = (target) => target.isContentEditable || target.matches?.('textarea, select, input:not([type=radio], [type=checkbox], [type=range], [type=button])');

  function dialog(id, label, content) {
    let box = document.getElementById(id);
    if (!box) {
      box = document.createElement('dialog');
      box.id = id;
      box.className = 'page site-dialog';
      box.setAttribute('aria-label', label);
      box.addEventListener('click', (event) => { if (event.target === box) box.close(); }); // outside of it
      document.body.append(box);
    }
    box.innerHTML = content;
    if (!box.open) box.showModal();
    return box;
  }

  const CLOSE = '<form method="dialog"><button class="quiet push">Close <kbd>Esc</kbd></button></form>';

  // ---- search

  const SEARCHING_MS = 300; // an answer that comes sooner needs no word about it
  const SEARCH_REST_MS = 700;
  let asked = 0;
  let telling = null;

  // For screen readers, once typing has come to rest: how many there are, and not all of them at each letter.
  function tellFound(place) {
    clearTimeout(telling);
    telling = setTimeout(() => {
      const count = place.querySelectorAll('a').length;
      place.previousElementSibling.textContent = count ? `${count} found. The down arrow goes to the first.` : place.textContent;
    }, SEARCH_REST_MS);
  }

  function openSearch() {
    const box = dialog('search', 'Search', `<div class="head"><label for="search-words">Search concepts, words, cards, questions, settings and pages, or ask a question</label>${CLOSE}</div>
      <input type="search" id="search-words" autocomplete="off" maxlength="120" role="combobox" aria-expanded="true" aria-controls="search-found">
      <p class="sr" id="search-says" role="status"></p><div id="search-found"></div>`);
    const input = box.querySelector('input');
    input.focus();
    input.addEventListener('input', () => find(input.value, box.querySelector('#search-found')));
    box.onkeydown = (event) => moveAmongResults(event, box);
    box.onclick = (event) => { if (event.target.closest('a')) box.close(); }; // it may lead to this page
  }

  async function find(words, place) {
    const number = ++asked;
    const late = setTimeout(() => { if (number === asked && words.trim()) place.innerHTML = '<p class="soft">Searching …</p>'; }, SEARCHING_MS);
    try {
      const answer = await fetch(`/search?q=${encodeURIComponent(words)}`);
      const html = await answer.text();
      if (number === asked) place.innerHTML = html; // an older answer never replaces a newer one
    } catch {
      if (number === asked) place.textContent = 'The app did not answer. Type on to ask once more.';
    } finally {
      clearTimeout(late);
    }
    if (number === asked) tellFound(place);
  }

  function moveAmongResults(event, box) {
    const links = [...box.querySelectorAll('#search-found a')];
    const input = box.querySelector('input');
    const at = links.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 }[event.key];
    if (event.key === 'Escape') box.close(); // a search field would only be emptied
    else if (event.key === 'Enter' && document.activeElement === input) links[0]?.click();
    else if (to !== undefined) (links[to] || (to < 0 ? input : links[at] || input)).focus();
    else return;
    event.preventDefault();
  }

  // ---- what a word means: <a|button data-means="..."> shows it on pointing, focus or tap, and Esc hides it

  let meaningOf = null;

  function showMeaning(word) {
    let note = document.getElementById('meaning');
    if (!note) {
      note = document.createElement('div');
      note.id = 'meaning';
      note.setAttribute('role', 'tooltip');
      document.body.append(note);
    }
    hideMeaning();
    meaningOf = word;
    word.setAttribute('aria-describedby', 'meaning');
    note.textContent = word.dataset.means;
    note.hidden = false;
    placeMeaning();
  }

  function placeMeaning() {
    const note = document.getElementById('meaning');
    if (!meaningOf?.isConnected) { hideMeaning(); return; }
    const place = meaningOf.getClientRects()[0];
    const left = Math.max(8, Math.min(place.left, document.documentElement.clientWidth - note.offsetWidth - 8));
    const above = place.top - note.offsetHeight - 4;
    note.style.left = `${left}px`;
    note.style.top = `${above > 4 ? above : place.bottom + 4}px`;
  }

  function hideMeaning() {
    meaningOf?.removeAttribute('aria-describedby');
    meaningOf = null;
    const note = document.getElementById('meaning');
    if (note) note.hidden = true;
  }

  const wordAt = (event) => event.target.closest?.('[data-means]');
  for (const kind of ['pointerover', 'focusin', 'click']) {
    document.addEventListener(kind, (event) => {
      const word = wordAt(event);
      if (word) showMeaning(word);
      else if (meaningOf && !(kind === 'pointerover' && event.target.id === 'meaning')) hideMeaning();
    });
  }
  window.addEventListener('scroll', () => { if (meaningOf) placeMeaning(); }, { passive: true, capture: true });
  window.addEventListener('keydown', (event) => { if (event.key === 'Escape') hideMeaning(); });

  // ---- a chart that is wider than its place, with large letters on a phone: keys scroll it, too

  const CHARTS = '.page :is(.drawing, .curve, .fig-picture)';
  let reaching = false;

  function reachCharts() {
    reaching = false;
    for (const place of document.querySelectorAll(CHARTS)) {
      if (place.scrollWidth > place.clientWidth + 1) place.tabIndex = 0;
      else if (place.hasAttribute('tabindex')) place.removeAttribute('tabindex');
    }
  }

  function reachChartsSoon() {
    if (reaching || !document.documentElement.matches('.large-text')) return;
    reaching = true;
    requestAnimationFrame(reachCharts);
  }

  new MutationObserver(reachChartsSoon).observe(document.documentElement, { childList: true, subtree: true });
  addEventListener('resize', reachChartsSoon);

  // ---- the keys of this page

  const KEY_WORDS = { ' ': 'Space', ArrowLeft: '←', ArrowRight: '→' };

  function openKeys() {
    const everywhere = [['/', 'Search'], ['?', 'Show these keys'], ['Tab', 'Go to the next control'], ['Esc', 'Close what is open']];
    const off = document.querySelector('[data-shortcuts="off"]');
    const here = off ? [] : [...document.querySelectorAll('#main [data-key]')].filter((one) => one.offsetParent !== null);
    const rows = everywhere.filter(([key]) => !here.some((one) => one.dataset.key === key)); // a page's own key goes first
    for (const one of here) {
      const key = KEY_WORDS[one.dataset.key] || one.dataset.key;
      const words = (one.getAttribute('aria-label') || [...one.childNodes].filter((node) => node.nodeName !== 'KBD').map((node) => node.textContent).join(' ')).replace(/\s+/g, ' ').trim();
      if (!rows.some(([known, text]) => known === key && text === words)) rows.push([key, words]);
    }
    const box = dialog('keys', 'Keys of this page', `<div class="head"><h2>Keys of this page</h2>${CLOSE}</div><dl class="keys"></dl>${off ? '<p class="soft">Single-key shortcuts are off in Settings.</p>' : ''}`);
    box.querySelector('dl').append(...rows.flatMap(([key, words]) => {
      const term = document.createElement('dt');
      const kbd = document.createElement('kbd');
      kbd.textContent = key;
      term.append(kbd);
      const what = document.createElement('dd');
      what.textContent = words;
      return [term, what];
    }));
  }

  window.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
    if (document.querySelector('[data-shortcuts="off"]')) return;
    const open = { '/': openSearch, '?': openKeys }[event.key];
    if (!open) return;
    event.preventDefault();
    open();
  });
  document.addEventListener('click', (event) => {
    if (event.target.closest?.('[data-open-search]')) openSearch();
    if (event.target.closest?.('[data-print]')) window.print();
  });
})();
