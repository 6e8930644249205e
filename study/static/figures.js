// Live figures: a control moves, the server answers with new numbers and a new picture, the control keeps its focus.
//
// <figure data-figure="lora-to-scale">      asks GET /figure/lora-to-scale?rank=8
//   <input data-setting="rank">             one setting; `data-stops` are the values a slider halts at
//   <p data-figure-part="finding">          what the answer replaces, part by part; [data-finding] is announced at rest
//   <div data-figure-trouble>               where it says what went wrong, otherwise on top
// <details data-figure-of="merging">        gets GET /figure/merging/whole into its [data-figure-place] when it is unfolded
//
// <button data-set="rank=64&bits=nf4">    sets the figure in its [data-figure-scope], or the first one of the page
// <button data-play="rank">               runs through a slider's stops; pressing it again, or moving a control, stops it;
//                                         while it runs it has data-playing, by which it shows .pauses instead of .plays
// <div data-figure-address>               has one figure, whose settings are kept in the page's address
//
// At most one request a figure is on its way; what moved meanwhile is asked for next, so the newest always arrives
// and an older answer never replaces a newer one. Works wherever such HTML stands: a page, a card, a question.

(() => {
  const REST_MS = 700;
  const asking = new WeakMap(); // figure -> {again}
  const resting = new WeakMap(); // figure -> timer

  const valueOf = (control) => {
    if (control.type !== 'range') return control.value;
    const stops = control.dataset.stops;
    return stops ? stops.split(' ')[Number(control.value)] : control.value;
  };

  // `data-value` is what the server set, until the control is moved; it may lie between two of a slider's stops.
  const settingOf = (control) => control.dataset.value ?? valueOf(control);

  function settingsOf(figure) {
    const query = new URLSearchParams();
    figure.querySelectorAll('[data-setting]').forEach((control) => query.set(control.dataset.setting, settingOf(control)));
    return query;
  }

  // To be sent to someone, opened again, or read by the island that answers for the page.
  function keepAddress(figure) {
    if (!figure.closest('[data-figure-address]')) return;
    const query = new URLSearchParams(location.search);
    settingsOf(figure).forEach((value, name) => query.set(name, value));
    history.replaceState(history.state, '', `${location.pathname}?${query}`); // Gradio gives its pages a base address
  }

  function showValue(control) {
    const words = `${Number(valueOf(control)).toLocaleString('en')} ${control.dataset.unit}`.trim();
    control.setAttribute('aria-valuetext', words);
    control.closest('label').querySelector('.fig-value').textContent = words;
  }

  async function ask(figure) {
    const underWay = asking.get(figure);
    if (underWay) { underWay.again = true; return; }
    const state = { again: false };
    asking.set(figure, state);
    try {
      // A class answers at an address of its own, which students' devices may ask.
      const from = figure.closest('[data-figure-from]')?.dataset.figureFrom ?? `/figure/${encodeURIComponent(figure.dataset.figure)}`;
      const answer = await fetch(`${from}?${settingsOf(figure)}`);
      const text = await answer.text();
      const tooOften = answer.status === 429; // a class limits each device; where the control ends up is still asked
      if (tooOften) await new Promise((done) => setTimeout(done, 1000 * answer.headers.get('Retry-After')));
      if (asking.get(figure) !== state) return; // the server has sent the figure anew meanwhile
      if (tooOften) state.again = true;
      else if (answer.ok) show(figure, text);
      else trouble(figure, text);
    } catch {
      if (asking.get(figure) !== state) return;
      trouble(figure, 'The app did not answer. Move the control again to ask once more.');
    }
    asking.delete(figure);
    if (state.again) ask(figure);
  }

  function show(figure, html) {
    figure.querySelector('.trouble')?.remove();
    const answer = document.createElement('template');
    answer.innerHTML = html;
    const folds = (part) => [part, ...part.querySelectorAll('*')].filter((one) => one.matches('details'));
    for (const part of answer.content.querySelectorAll('[data-figure-part]')) {
      const place = figure.querySelector(`[data-figure-part="${part.dataset.figurePart}"]`);
      if (!place) continue;
      const open = folds(place).map((one) => one.open);
      folds(part).forEach((one, at) => { one.open = Boolean(open[at]); });
      place.replaceWith(part);
    }
  }

  function trouble(figure, text) {
    let box = figure.querySelector('.trouble');
    if (!box) {
      box = document.createElement('p');
      box.className = 'trouble';
      box.setAttribute('role', 'alert');
      (figure.querySelector('[data-figure-trouble]') || figure).prepend(box);
    }
    box.textContent = text;
  }

  // Once the control has come to rest and its answer has come, and not for each value it passes.
  function restSoon(figure) {
    clearTimeout(resting.get(figure));
    resting.set(figure, setTimeout(() => {
      if (asking.has(figure) || (playing && figureOf(playing.button) === figure)) return restSoon(figure);
      keepAddress(figure);
      const region = document.getElementById('live');
      const finding = figure.querySelector('[data-finding]');
      if (!region || !finding) return;
      // A finding that holds the answer to a question is hidden until then; the picture is not.
      const hidden = finding.checkVisibility?.() === false; // browsers before 2023 don't know it
      region.textContent = hidden ? figure.querySelector('.fig-picture').getAttribute('aria-label') : finding.textContent;
    }, REST_MS));
  }

  // A phrase or a Play button moves the real control, so that slider, numbers, picture and address agree.
  const STOP_MS = 900;
  let playing = null; // {button, timer}

  const figureOf = (button) => (button.closest('[data-figure-scope]') || document).querySelector('[data-figure]');

  function move(figure, name, value) {
    const control = figure.querySelector(`[data-setting="${CSS.escape(name)}"]`);
    if (!control) return;
    const stops = control.dataset.stops?.split(' ');
    control.value = stops ? stops.indexOf(value) : value;
    control.dispatchEvent(new Event('input', { bubbles: true }));
  }

  // On a phone the picture may be out of sight of what moves it.
  function bringIntoView(figure) {
    const picture = figure?.querySelector('.fig-picture');
    const { top, bottom } = picture?.getBoundingClientRect() ?? { top: 0, bottom: 0 };
    if (top < 0 || bottom > innerHeight) picture.scrollIntoView({ block: 'nearest' });
  }

  function stopPlaying() {
    if (!playing) return;
    clearInterval(playing.timer);
    delete playing.button.dataset.playing;
    playing = null;
  }

  function play(button) {
    const figure = figureOf(button);
    const control = figure?.querySelector(`[data-setting="${CSS.escape(button.dataset.play)}"]`);
    if (!control) return;
    const last = Number(control.max);
    let at = Number(control.value) < last ? Number(control.value) : Number(control.min) - 1;
    const step = () => {
      if (!control.isConnected || at >= last) return stopPlaying();
      at += 1;
      control.value = at;
      const moved = new Event('input', { bubbles: true });
      moved.played = true;
      control.dispatchEvent(moved);
    };
    button.dataset.playing = '';
    playing = { button, timer: setInterval(step, STOP_MS) };
    step();
    bringIntoView(figure);
  }

  document.addEventListener('click', (event) => {
    const setter = event.target.closest?.('[data-set]');
    if (setter) {
      const figure = figureOf(setter);
      if (figure) new URLSearchParams(setter.dataset.set).forEach((value, name) => move(figure, name, value));
      bringIntoView(figure);
    }
    const player = event.target.closest?.('[data-play]');
    if (player) { const again = playing?.button === player; stopPlaying(); if (!again) play(player); }
  });

  document.addEventListener('toggle', async (event) => {
    const folded = event.target;
    const place = folded.matches?.('[data-figure-of]') && folded.open && folded.querySelector('[data-figure-place]');
    if (!place || place.firstChild) return;
    try {
      const answer = await fetch(`/figure/${encodeURIComponent(folded.dataset.figureOf)}/whole`);
      place.innerHTML = await answer.text();
    } catch {
      place.textContent = 'The app did not answer. Fold and unfold this to ask once more.';
      folded.addEventListener('toggle', () => place.replaceChildren(), { once: true });
    }
  }, true); // it does not bubble

  document.addEventListener('input', (event) => {
    const control = event.target.closest?.('[data-setting]');
    const figure = control?.closest('[data-figure]');
    if (!figure) return;
    if (!event.played) stopPlaying();
    event.stopPropagation(); // a figure inside a form or an island is no answer to it
    delete control.dataset.value;
    if (control.type === 'range') showValue(control);
    ask(figure);
    restSoon(figure);
  }, true);

  // An answer goes out with the page's address, perhaps before the control has come to rest.
  document.addEventListener('submit', () => {
    document.querySelectorAll('[data-figure]').forEach((figure) => { if (resting.has(figure)) keepAddress(figure); });
  }, true);

  // Gradio changes elements in place, and a control that was moved ignores its new attributes.
  function setAnew(control) {
    const figure = control.closest('[data-figure]');
    if (!figure || control.dataset.value === undefined) return;
    control.value = control.getAttribute('value') ?? control.dataset.value;
    stopPlaying();
    asking.delete(figure);
    clearTimeout(resting.get(figure));
    resting.delete(figure);
  }

  new MutationObserver((changes) => changes.forEach(({ target }) => setAnew(target)))
    .observe(document, { subtree: true, attributeFilter: ['data-value'] });
})();
