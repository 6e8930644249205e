// One island: HTML made by the server. A press goes to Python (`act`), and what comes back is shown.
//
// In the HTML                          what happens
// <button data-act="rate" data-n="3">  act({act: "rate", n: "3", query}) when pressed
// <form data-submit="start">           act({act: "start", ..., fields: {name: [values]}}) when submitted; its data-progress
//                                      stands in the part data-progress-in until the answer comes
// <button data-key="3">                the same as a press, by that key ("Space", "Enter", "Escape" by name); a form whose
//                                      text is being typed in takes Escape too, and Ctrl+Enter hands it in; where
//                                      nothing takes Escape it leaves the field, so that letters are keys again
// <div data-enter="#keep">              Enter in a field of this part of a form presses the button #keep
// <textarea data-autosave="draft">     act({act: "draft", ..., value}) 600 ms after the last letter; not shown anew
// <section data-poll="1000">           act({act: "poll", ...}) at that interval while the page is looked at
// <div data-going="run-7">              a poll says so of what is still going on, so that Python can tell when it has ended
// <div data-part="loss">               when a poll answers, only the parts whose HTML changed are replaced
// <span data-part="rank-problem" data-problem-of="rank">  what is wrong with the control of that id; while it says something,
//                                      the control is marked as invalid
// <form data-live="change">            act({act: "change", fields}) while its controls move; the newest always arrives
//                                      a text field in it with data-after-pause: after a pause, or on leaving it
// <input type=range data-drives="r">   a logarithmic slider for the number field with that id
// <input type=file data-upload="up">   act({act: "up", name, content, fields}) with the file in base64, if it has at
//                                      most `data-limit` bytes; until the answer comes, `data-progress-in` says that it is
//                                      read, and a button there sends act({act: data-stop}) at once; of a large file a
//                                      bar says how much was sent, and until all was, that button stops the sending
// <input type=file data-send="/io/upload"> posts the file there as it is, then act({act: data-then-act})
// <a href="#part">                     goes to that part of the page, with the focus
// <button data-confirm="Really?">      asks before the press goes out
// <article data-track="place">         act({act: "place", place}) some time after scrolling came to rest: the number of the
//                                      last [data-place] in it that has reached the upper half of the window
// <p data-arrival tabindex="-1">        has the focus when the page opens: it says what the press that led here did
// <p data-then="draw">                 once shown, the live form asks act({act: "draw", fields})
// <section data-title="NF4">           what the browser's tab says, before the app's name
// <section data-back="here">           act({act: "here", query}) when Back or Forward of the browser leads to a `step`
// <section data-address="/x?mode=a">   what the address bar should have said when the page opened
//
// What Python answers, all optional: html (show this), say (announce this), focus (a selector), url (put this into
// the address bar), step (the same, as a step that the browser's Back undoes), goto (open this page), error (show this, and keep all that is on the page unless there is html
// too), beside (a selector: where that error stands), parts ({part name: html}), then (what the live form asks next, while the learner goes on).
//
// Events go to `POST /act/<island>` with the address's query and the browser's time zone, and through Gradio where that address does not know the island.
// Gradio gives `element`, `props`, `server` and `watch`, and runs this once per island.

const AUTOSAVE_MS = 600;
const UNREACHABLE = 'The app did not answer. Nothing you typed is lost.';

let busy = false;
let pollTimer = null;
let arrived = false;
let pressed = 0; // goes up when a press is sent, and when its answer comes
const typedIn = new Set(); // fields in which the learner has typed since the last press
let fingerUp = null; // a promise once a finger was down
let waitingKeys = []; // pressed while the answer to the last press was on its way
let byPointer = false; // whether that press came from a mouse or a finger
let waitingPress = null; // the same for a button that has only just come, or for Back
let oldControls = new Set();
const saving = new Map(); // draft name -> timer of the save that is to come
let lastSave = Promise.resolve(); // all saves that are on their way
const shownParts = new Map(); // part name -> the HTML it was given last

const island = element.closest('.block')?.id || element.id; // its name on the page and in addresses
const find = (selector) => element.querySelector(selector);
const drafts = () => [...element.querySelectorAll('[data-autosave]')];
const draftName = (box) => `draft:${box.dataset.draft}`;

// ---- telling the learner -------------------------------------------------------------------------------------

function say(text) {
  const region = document.getElementById('live');
  if (!region || !text) return;
  region.textContent = '';
  setTimeout(() => { region.textContent = text; }, 60); // an unchanged text would not be read out again
}

// Ours goes when the next answer comes; one that the server made stays. A poll answers every second without the
// learner, so it takes away only what a poll said ("connection"); typing takes away only what was "refused".
// It stands beside the form or control that was used (`near`), where there is one.
function trouble(text, { again = null, kind = 'refused', near = null }) {
  const old = find('[data-passing]');
  if (kind === 'connection' && old?.dataset.passing === kind && old.textContent === text.replaceAll('`', '')) return; // the last poll said it
  dropTrouble('[data-passing]');
  const box = document.createElement('div');
  box.className = 'trouble';
  box.id = `${island}-trouble`;
  box.dataset.passing = kind;
  box.setAttribute('role', 'alert');
  text.split(/`([^`]+)`/).forEach((piece, at) => {
    if (at % 2 === 0) return box.append(piece);
    box.append(Object.assign(document.createElement('code'), { textContent: piece }));
  });
  if (again) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Try again';
    button.addEventListener('click', () => send(again, near));
    box.append(' ', button);
  }
  if (!near?.isConnected || !standBeside(box, near)) (find('.page') || element).prepend(box);
  box.scrollIntoView({ block: 'nearest' });
}

// Before the button that was pressed or hands a form in, after a field; false where a page has no such place.
function standBeside(box, near) {
  const control = near.matches('form') ? near.querySelector('button:not([type="button"])') : near;
  const row = control?.closest('.actions, .trouble, .control'); // `.control`: the row of the lab's Start
  if (control?.matches('input, textarea, select')) (control.closest('label') || control).after(box);
  else if (row) row.before(box);
  else if (control && near !== control) control.before(box);
  else return false;
  control.setAttribute('aria-describedby', [control.getAttribute('aria-describedby'), box.id].filter(Boolean).join(' '));
  return true;
}

function dropTrouble(selector) {
  const box = find(selector);
  if (!box) return;
  for (const control of element.querySelectorAll(`[aria-describedby~="${box.id}"]`)) {
    const others = control.getAttribute('aria-describedby').split(' ').filter((id) => id !== box.id).join(' ');
    if (others) control.setAttribute('aria-describedby', others); else control.removeAttribute('aria-describedby');
  }
  box.remove();
}

// ---- asking the server ---------------------------------------------------------------------------------------

async function ask(event, file = null) {
  const sent = { ...event, query: location.search, zone: Intl.DateTimeFormat().resolvedOptions().timeZone };
  const address = `/act/${encodeURIComponent(island)}`;
  const [body, type] = [JSON.stringify(sent), 'application/json'];
  const answer = await (file && body.length > NO_BAR
    ? postFile(address, body, { ...file, type })
    : fetch(address, { method: 'POST', headers: { 'Content-Type': type }, body }));
  if (answer.status === 404) return server.act(sent); // a page older or newer than the server
  if (answer.ok) return answer.json();
  const failure = new Error(`${answer.status} of ${answer.url}`);
  // A refusal is a sentence of ours; an error of the server has none for the learner.
  if (answer.status !== 500 && answer.headers.get('content-type')?.startsWith('text/plain')) failure.said = await answer.text();
  throw failure;
}

// A press whose answer was lost is the same press when it is sent again: the app does it once.
let unanswered = {};
function namePress(event) {
  const text = JSON.stringify(event);
  if (unanswered.text !== text) unanswered = { text, press: `${Date.now()}-${Math.random()}` };
  return unanswered.press;
}

// What is written down belongs to the profile that this window shows; another window may have switched meanwhile.
function tell(event, file) {
  return ask({ ...event, shown_profile: document.querySelector('.who')?.dataset.profile }, file);
}

// One press at a time. Pressing the same button twice is one press; pressing what the answer brought is the next.
async function send(event, control = null) {
  if (busy) {
    if (control && !oldControls.has(control)) waitingPress = () => control.isConnected && send(event, control);
    return;
  }
  busy = true;
  waitingPress = null;
  typedIn.clear();
  oldControls = new Set(element.querySelectorAll('[data-act], form'));
  element.setAttribute('aria-busy', 'true');
  const progress = showProgress(control);
  try {
    if (event.fields) await settleDrafts();
    pressed += 1;
    const file = progress && control.files?.[0];
    const reply = await tell({ ...event, press: namePress(event) }, file && { name: file.name, size: file.size, notice: progress });
    unanswered = {};
    pressed += 1; // before the answer is shown: showing takes a frame, in which an older answer may come
    await show(reply, event, control);
  } catch (failure) {
    waitingKeys = [];
    trouble(failure.said || UNREACHABLE, { again: event, kind: 'unreachable', near: control });
    keepDrafts();
  } finally {
    busy = false;
    progress?.remove();
    element.removeAttribute('aria-busy');
  }
  if (waitingPress) waitingPress();
  while (!busy && waitingKeys.length) pressKey(waitingKeys.shift());
}

// In the place of what was said of the last press, which need not be true of this one.
function showProgress(form) {
  const place = form?.dataset.progress && find(`[data-part="${form.dataset.progressIn}"]`);
  if (!place) return null;
  const progress = document.createElement('p');
  Object.assign(progress, { className: 'notice', textContent: form.dataset.progress });
  progress.setAttribute('role', 'status');
  place.replaceChildren(progress);
  if (form.dataset.stop) progress.append(' ', stopButton(form));
  shownParts.delete(place.dataset.part);
  return progress;
}

// It is the one press that goes out while another is on its way. What became of the file is said in the file's own answer.
function stopButton(input) {
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Stop' });
  button.addEventListener('click', () => {
    input.focus(); // the button goes when the answer comes
    if (goingUp) return goingUp.abort();
    if (input.dataset.stop) tell({ act: input.dataset.stop }).catch(() => {});
  });
  return button;
}

// ---- a file on its way: how much of it was sent

const NO_BAR = 1e5; // bytes: so few have gone up before a bar could be read
const STOPPED = 'Stopped. Nothing of the file was kept.';
let goingUp = null; // the request whose bytes are on their way

// fetch doesn't tell what was sent. This answers what fetch would, and fails with a sentence where it was stopped.
function postFile(address, body, { name, size, notice, type }) {
  const request = new XMLHttpRequest();
  const bar = Object.assign(document.createElement('progress'), { max: 1, value: 0 });
  bar.setAttribute('aria-label', `How much of ${name} was sent`);
  const numbers = document.createElement('span');
  numbers.className = 'figures';
  numbers.setAttribute('aria-hidden', 'true'); // a screen reader has the bar, and would read out each change
  notice.firstChild.data = `Sending ${name} `;
  notice.firstChild.after(bar, ' ', numbers);
  const showSent = (share) => {
    bar.value = share;
    numbers.textContent = `${((share * size) / 1e6).toFixed(1)} of ${(size / 1e6).toFixed(1)} MB`;
  };
  showSent(0);
  return new Promise((resolve, reject) => {
    const fail = (said) => { goingUp = null; reject(Object.assign(new Error(address), { said })); };
    request.upload.addEventListener('progress', (sent) => showSent(sent.loaded / sent.total));
    request.upload.addEventListener('load', () => {
      goingUp = null; // from now on Stop is about the reading
      bar.remove();
      numbers.remove();
      notice.firstChild.data = `Reading ${name}`;
    });
    request.addEventListener('load', () => {
      const headers = { 'content-type': request.getResponseHeader('content-type') || '' };
      resolve(new Response(request.responseText, { status: request.status, headers }));
    });
    request.addEventListener('error', () => fail());
    request.addEventListener('abort', () => fail(STOPPED));
    request.open('POST', address);
    request.setRequestHeader('Content-Type', type);
    request.send(body);
    goingUp = request;
  });
}

async function show(reply, event, control) {
  const near = () => (reply.beside ? find(reply.beside) : control);
  if (reply.error && typeof reply.html !== 'string') {
    if (reply.parts) replaceParts(reply.parts); // what no longer belongs to what was typed
    keepDrafts();
    return trouble(reply.error, { near: near() });
  }
  dropTrouble('[data-passing]');
  if (event.fields) drafts().filter((box) => !typedIn.has(box)).forEach((box) => sessionStorage.removeItem(draftName(box)));
  if (reply.goto) return void location.assign(reply.goto);
  if (reply.step && reply.step !== location.pathname + location.search) history.pushState(null, '', reply.step);
  if (reply.url) history.replaceState(null, '', reply.url);
  if (typeof reply.html === 'string') await putOnPage(reply.html);
  if (reply.parts) replaceParts(reply.parts);
  say(reply.say);
  follow(reply);
  settle();
  focusOn(reply.focus);
  if (reply.error) trouble(reply.error, { near: near() });
  if (hasChangedSince(event)) changeLive(); // corrected while the answer, perhaps a refusal, was on its way
}

// Resolves in the task that changes the page, so that nothing can be typed or pressed there before it has settled.
async function putOnPage(html) {
  let observer;
  const changed = new Promise((resolve) => { observer = new MutationObserver(resolve); });
  observer.observe(element, { childList: true, subtree: true, characterData: true });
  props.value = html;
  await Promise.race([changed, nextFrame()]); // the same HTML changes nothing
  observer.disconnect();
}

// A window in the background draws no frames.
function nextFrame() {
  return new Promise((resolve) => {
    requestAnimationFrame(resolve);
    setTimeout(resolve, 200);
  });
}

// A field in which somebody is typing keeps the focus.
function focusOn(selector) {
  const target = selector && find(selector);
  if (!target || typedIn.has(document.activeElement)) return;
  target.focus({ preventScroll: true });
  const taller = target.offsetHeight > innerHeight; // 'nearest' may show its end
  bringIntoView(target, { block: taller ? 'start' : 'nearest' });
}

// ---- after new HTML is in place ------------------------------------------------------------------------------

function settle() {
  shownParts.clear();
  nameTab();
  startAnew();
  drafts().forEach(restore);
  clearTimeout(pollTimer);
  pollTimer = null;
  schedulePoll();
  settleLive();
  if (!arrived && find('.page') && !find('[data-waiting]')) arrive();
}

// Gradio changes elements in place. A form whose id has changed asks something else, so nothing that was
// chosen in it may stay chosen.
const askedBy = new WeakMap();
function startAnew() {
  for (const form of element.querySelectorAll('form[id]')) {
    if (askedBy.has(form) && askedBy.get(form) !== form.id) form.reset();
    askedBy.set(form, form.id);
  }
}

// The frame (study/web/frame.py) has put the app's name at the end.
function nameTab() {
  const named = find('[data-title]');
  if (named) document.title = `${named.dataset.title} · ${document.title.split(' · ').pop()}`;
}

// The address is already the one that Back or Forward led to.
function stepBack() {
  const place = find('[data-back]');
  if (!place) return;
  if (busy) waitingPress = stepBack; else send({ act: place.dataset.back });
}

// The browser looked for the address's #part before the content had come.
function arrive() {
  arrived = true;
  const addressed = find('[data-address]');
  if (addressed) history.replaceState(null, '', addressed.dataset.address);
  const part = location.hash.length > 1
    ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : find('[data-arrival]');
  if (!part || !element.contains(part)) return;
  part.classList.add('arrived');
  part.focus({ preventScroll: true });
  bringIntoView(part);
}

// ---- drafts: in the browser at once, on the server soon after -------------------------------------------------

function restore(box) {
  const kept = sessionStorage.getItem(draftName(box));
  if (kept === null || kept === box.value) return;
  box.value = kept;
  save(box);
}

function status(box, text) {
  const place = find(`[data-saved="${box.dataset.draft}"]`);
  if (place) place.textContent = text;
}

function saveSoon(box) {
  sessionStorage.setItem(draftName(box), box.value);
  status(box, 'Saving');
  clearTimeout(saving.get(draftName(box)));
  saving.set(draftName(box), setTimeout(() => save(box), AUTOSAVE_MS));
}

// A submitted form ends its draft; a save that arrives later would bring it back.
function settleDrafts() {
  saving.forEach(clearTimeout);
  saving.clear();
  return lastSave;
}

// What was handed in and refused is still a draft, also where its save had not gone out yet.
function keepDrafts() {
  drafts().filter((box) => sessionStorage.getItem(draftName(box)) !== null).forEach(save);
}

function save(box) {
  lastSave = Promise.all([lastSave, saveNow(box)]).then(() => {}); // a form may have several drafts
}

async function saveNow(box) {
  const text = box.value;
  clearTimeout(saving.get(draftName(box)));
  saving.delete(draftName(box));
  try {
    const reply = await tell({ ...box.dataset, act: box.dataset.autosave, value: text });
    if (reply.error) return status(box, reply.error);
    if (box.value !== text) return; // typed on meanwhile: that save is on its way
    sessionStorage.removeItem(draftName(box));
    status(box, 'Saved');
  } catch {
    status(box, 'Not saved yet; kept in this window');
    saving.set(draftName(box), setTimeout(() => save(box), 5000));
  }
}

// ---- polling -------------------------------------------------------------------------------------------------

function schedulePoll() {
  const place = find('[data-poll]');
  if (!place || pollTimer) return;
  pollTimer = setTimeout(poll, Number(place.dataset.poll));
}

async function poll() {
  pollTimer = null;
  const place = find('[data-poll]');
  if (!place || document.hidden) return; // `visibilitychange` starts it again
  const before = pressed;
  try {
    const going = find('[data-going]')?.dataset.going;
    const reply = await ask({ ...place.dataset, act: 'poll', going, ...liveFields() });
    await fingerUp;
    if (before !== pressed) return void schedulePoll(); // a press has changed the page meanwhile
    dropTrouble('[data-passing="connection"]');
    if (typeof reply.html === 'string') await showPolled(reply.html, reply.focus);
    if (reply.parts) replaceParts(reply.parts);
    if (reply.error) trouble(reply.error, { kind: 'connection', near: reply.beside && find(reply.beside) }); // the next poll takes it away
    say(reply.say);
    follow(reply);
  } catch {
    trouble('The app does not answer at the moment. This page tries again by itself.', { kind: 'connection' });
  }
  schedulePoll();
}

// What was waited for has come when other parts come: only then may it take the focus.
async function showPolled(html, focus) {
  const fresh = document.createElement('template');
  fresh.innerHTML = html;
  const parts = Object.fromEntries([...fresh.content.querySelectorAll('[data-part]')]
    .map((part) => [part.dataset.part, part.innerHTML]));
  const here = [...element.querySelectorAll('[data-part]')].map((part) => part.dataset.part);
  const same = here.length > 0 && here.join() === Object.keys(parts).join();
  if (same) return void replaceParts(parts);
  await putOnPage(html);
  settle();
  focusOn(focus);
}

function replaceParts(parts) {
  for (const [name, html] of Object.entries(parts)) {
    const place = find(`[data-part="${name}"]`);
    if (!place || shownParts.get(name) === html) continue;
    shownParts.set(name, html);
    const focused = place.contains(document.activeElement) && document.activeElement;
    const ticks = [...place.querySelectorAll('input[type=checkbox][id]')].filter((box) => box.checked !== box.defaultChecked);
    const open = [...place.querySelectorAll('details')].map((one) => one.open);
    place.innerHTML = html;
    if (place.dataset.problemOf) document.getElementById(place.dataset.problemOf)?.setAttribute('aria-invalid', html !== '');
    place.querySelectorAll('details').forEach((one, at) => { if (open[at]) one.open = true; }); // what was unfolded stays so
    for (const { id, checked } of ticks) {
      const box = document.getElementById(id);
      if (box) box.checked = checked; // ticked while the answer was on its way
    }
    // What is no longer there, such as Stop at the end of a run, leaves the focus to what it stood in.
    if (focused) (findAgain(focused, place) || place.closest('[tabindex="-1"]'))?.focus({ preventScroll: true });
  }
}

// The control that stands for one that was replaced; links, folds and most buttons have no id.
function findAgain(control, place) {
  if (control.id) return document.getElementById(control.id);
  const describe = (one) => JSON.stringify([one.textContent, one.name, one.value, one.getAttribute('href'), { ...one.dataset }]);
  const wanted = describe(control);
  return [...place.querySelectorAll(control.tagName)].find((one) => describe(one) === wanted);
}

// ---- where reading stopped -------------------------------------------------------------------------------------

const PLACE_MS = 1200;
let placeTimer = null;
let keptPlace = ''; // the last one that was sent, with what it belongs to
let ownScroll = 0; // where this script scrolled to last, which tells nothing about reading either

function bringIntoView(part, how = {}) {
  part.scrollIntoView(how);
  ownScroll = window.scrollY;
}

function trackSoon() {
  if (!element.isConnected || !find('[data-track]')) return;
  clearTimeout(placeTimer);
  placeTimer = setTimeout(keepPlace, PLACE_MS);
}

// A page that was never scrolled tells nothing about reading, hence only after a scroll.
function keepPlace() {
  const text = find('[data-track]');
  if (!text || window.scrollY === ownScroll) return;
  const reached = [...text.querySelectorAll('[data-place]')].filter((one) => one.getBoundingClientRect().top < innerHeight / 2).pop();
  const place = reached ? reached.dataset.place : '1';
  const event = { ...text.dataset, act: text.dataset.track, place };
  if (JSON.stringify(event) === keptPlace) return;
  keptPlace = JSON.stringify(event);
  tell(event).catch(() => { keptPlace = ''; });
}

// ---- live forms: numbers follow the control, pictures follow the numbers -----------------------------------

const asking = {}; // act -> 'once' while a question is out, 'again' when the form has changed since
const liveForm = () => find('form[data-live]');

function formFields(form) {
  const fields = {};
  for (const [name, value] of new FormData(form)) if (typeof value === 'string') (fields[name] ||= []).push(value);
  return fields;
}

function liveFields() {
  const form = liveForm();
  return form ? { fields: formFields(form) } : {};
}

function hasChangedSince(event) {
  const form = liveForm();
  return form && event.fields && form.dataset.submit === event.act
    && JSON.stringify(formFields(form)) !== JSON.stringify(event.fields);
}

async function askLive(act) {
  if (asking[act]) { asking[act] = 'again'; return; }
  do {
    asking[act] = 'once';
    try {
      const before = pressed;
      const reply = await ask({ act, ...liveFields() });
      if (before !== pressed) { // what was pressed meanwhile has changed the page: this answer is about the old one
        asking[act] = 'again';
        continue;
      }
      if (reply.error) trouble(reply.error, { near: liveForm() }); else dropTrouble('[data-passing]');
      if (reply.url) history.replaceState(null, '', reply.url);
      if (reply.parts) replaceParts(reply.parts);
      say(reply.say);
      follow(reply);
    } catch {
      trouble(UNREACHABLE, { kind: 'connection' });
    }
  } while (asking[act] === 'again');
  delete asking[act];
}

function follow(reply) {
  if (reply.then && liveForm()) askLive(reply.then);
}

function settleLive() {
  const form = liveForm();
  if (!form) return;
  // A phone's drawing has the larger letters, so it is also the one for large text.
  const narrow = matchMedia('(max-width: 640px)').matches || document.documentElement.matches('.large-text:not(.projector)');
  if (form.elements.narrow) form.elements.narrow.value = narrow ? 'yes' : 'no';
  element.querySelectorAll('[data-drives]').forEach(placeSlider);
  const place = find('[data-then]');
  if (place) { const act = place.dataset.then; delete place.dataset.then; askLive(act); }
}

const drivenBy = (slider) => document.getElementById(slider.dataset.drives);
function placeSlider(slider) {
  const number = drivenBy(slider);
  if (number && Number(number.value) > 0) slider.value = Math.log2(Number(number.value));
  slider.setAttribute('aria-valuetext', number ? number.value : '');
}

// One press of an arrow key is one step of the number, however the slider's scale is bent.
function stepSlider(event) {
  const slider = event.target.closest('[data-drives]');
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (!slider || !step) return;
  event.preventDefault();
  const number = drivenBy(slider);
  number.value = Math.min(Number(number.max), Math.max(Number(number.min), Number(number.value) + step));
  number.dispatchEvent(new Event('input', { bubbles: true }));
}

function onLiveInput(event) {
  const slider = event.target.closest('[data-drives]');
  if (slider) drivenBy(slider).value = Math.round(2 ** slider.value);
  else element.querySelectorAll(`[data-drives="${event.target.id}"]`).forEach(placeSlider);
  if (slider) slider.setAttribute('aria-valuetext', drivenBy(slider).value);
  clearTimeout(settling);
  if (event.target.matches('[data-after-pause]')) settling = setTimeout(endTyping, TYPING_PAUSE);
  else changeLive();
}

// A name that is looked up elsewhere is asked for when it is whole, not once a letter.
const TYPING_PAUSE = 800; // ms
let settling;
const changeLive = () => liveForm() && askLive(liveForm().dataset.live);

function endTyping() {
  if (!settling) return;
  clearTimeout(settling);
  settling = undefined;
  changeLive();
}

function chosenFile(input) {
  const file = input.files[0];
  const limit = Number(input.dataset.limit);
  if (!file || !(file.size > limit)) return file; // without a limit, any size
  input.value = '';
  const size = (file.size / 1e6).toFixed(1);
  trouble(`${file.name} is ${size} MB; the limit is ${limit / 1e6} MB. Nothing was sent: choose a smaller file.`, { near: input });
  return null;
}

async function upload(input) {
  const file = chosenFile(input);
  if (!file) return;
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  input.dataset.progress = `Reading ${file.name}`;
  await send({ ...input.dataset, act: input.dataset.upload, name: file.name, content: btoa(text), ...liveFields() }, input);
  input.value = '';
}

// For files that are too large for an event. The server keeps the file and is then asked what to show of it.
async function sendFile(input) {
  const file = chosenFile(input);
  if (!file) return;
  const address = `${input.dataset.send}?name=${encodeURIComponent(file.name)}`;
  const notice = file.size > NO_BAR ? noticeBelow(input, `Sending ${file.name}`) : null;
  if (!notice) say(`Sending ${file.name}`);
  try {
    const type = file.type || 'application/octet-stream';
    const answer = await (notice
      ? postFile(address, file, { name: file.name, size: file.size, notice, type })
      : fetch(address, { method: 'POST', body: file }));
    const reply = answer.ok ? await answer.json() : { error: `The app did not take ${file.name} (${answer.status}).` };
    if (reply.error) return trouble(reply.error, { near: input });
    await send({ act: input.dataset.thenAct }, input);
  } catch (failure) {
    trouble(failure.said || UNREACHABLE, { kind: 'unreachable', near: input });
  } finally {
    notice?.remove();
    input.value = '';
  }
}

function noticeBelow(input, words) {
  const notice = document.createElement('p');
  Object.assign(notice, { className: 'notice', textContent: words });
  notice.setAttribute('role', 'status');
  notice.append(' ', stopButton(input));
  (input.closest('label') || input).after(notice);
  return notice;
}

// ---- the keyboard --------------------------------------------------------------------------------------------

const KEY_NAMES = { ' ': 'Space' };
const isTyping = (target) => target.isContentEditable
  || (target.matches('input, textarea, select') && !target.matches('[type=radio], [type=checkbox], [type=range]'));
const isLetter = (key) => /^[a-df-z]$/i.test(key); // `e` is part of a number
const takesLetters = (target) => isTyping(target) && !target.matches('[type=number]');
const pressesItself = (target) => target.closest('button, a, summary, input:not([type=range]), select, textarea');

function onKey(event) {
  if (!element.isConnected || event.altKey || event.repeat || event.isComposing) return;
  if (document.querySelector('dialog[open]')) return; // nobody sees what a key would do behind it
  if (isLetter(event.key) ? takesLetters(event.target) : isTyping(event.target)) return onKeyInText(event);
  if (event.ctrlKey || event.metaKey || document.querySelector('[data-shortcuts="off"]')) return;
  const name = KEY_NAMES[event.key] || (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  if (element.contains(event.target) && pressEnterButton(event)) return;
  // A focused button, link or field keeps its own Space and Enter (a slider has no use for them), unless it was clicked
  // and its answer is on the way: then the key is meant for what comes. What came already keeps them.
  const keeps = (name === 'Space' || name === 'Enter') && pressesItself(event.target);
  if (keeps && !(busy && byPointer && oldControls.has(keeps.closest('[data-act], form')))) return;
  if (busy) { // Space and 3 in quick succession mean: flip, then rate
    waitingKeys.push(name);
    if (keeps || controlOf(name)) event.preventDefault(); // the whole site has no use for it
  } else if (pressKey(name)) event.preventDefault();
}

// No single letters here: they are being typed.
function onKeyInText(event) {
  if (!element.contains(event.target)) return;
  const form = event.target.closest('form[data-submit]');
  if (event.key === 'Escape' && !form?.querySelector('[data-key="Escape"]')) return event.target.blur(); // keys again
  if (!form) return;
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    return form.requestSubmit();
  }
  pressEnterButton(event);
  const cancel = event.key === 'Escape' && form.querySelector('[data-key="Escape"]');
  if (!cancel) return;
  const changed = [...form.querySelectorAll('textarea')].some((box) => box.value !== box.defaultValue);
  if (!changed || window.confirm('Drop what you changed here?')) cancel.click();
}

function pressEnterButton(event) {
  const part = event.key === 'Enter' && event.target.matches('input') && event.target.closest('[data-enter]');
  if (!part) return false;
  event.preventDefault();
  find(part.dataset.enter).click();
  return true;
}

const controlOf = (key) => [...element.querySelectorAll('[data-key]')]
  .find((candidate) => candidate.dataset.key === key && !candidate.disabled && candidate.offsetParent !== null);

function pressKey(name) {
  const wanted = controlOf(name);
  if (!wanted) return false;
  wanted.click();
  wanted.control?.focus();
  if (wanted.control?.type === 'number') wanted.control.select(); // what is typed next replaces it
  return true;
}

// ---- wiring --------------------------------------------------------------------------------------------------

// Gradio gives its pages a base address, so that "#part" would lead to another page.
function goInside(link) {
  const part = document.getElementById(decodeURIComponent(link.hash.slice(1)));
  if (!part) return;
  part.tabIndex = -1;
  part.focus({ preventScroll: true });
  part.scrollIntoView();
}

// A button that is replaced between the finger's down and up gets no click; the click comes after the up.
element.addEventListener('pointerdown', () => {
  fingerUp = new Promise((done) => {
    for (const end of ['pointerup', 'pointercancel']) addEventListener(end, () => setTimeout(done), { once: true });
  });
});

element.addEventListener('click', (event) => {
  const inside = event.target.closest('a[href^="#"]');
  if (inside) { event.preventDefault(); return goInside(inside); }
  const pressed = event.target.closest('[data-act]');
  if (!pressed || pressed.disabled) return;
  if (pressed.href && (event.ctrlKey || event.metaKey || event.shiftKey)) return; // a new tab or window
  // A whole card can be pressed; a link in it, or marking some of its words, is no press on the card.
  const control = event.target.closest('a, button, summary, input, label, select, textarea');
  if (control && control !== pressed && pressed.contains(control)) return;
  if (!control && String(window.getSelection())) return;
  event.preventDefault();
  if (!busy) byPointer = event.detail > 0; // a press by key has no clicks
  if (pressed.dataset.confirm && !window.confirm(pressed.dataset.confirm)) return;
  send({ ...pressed.dataset, ...liveFields() }, pressed);
});

element.addEventListener('submit', (event) => {
  const form = event.target.closest('form[data-submit]');
  if (!form) return;
  event.preventDefault();
  send({ ...form.dataset, act: form.dataset.submit, fields: formFields(form) }, form);
});

element.addEventListener('input', (event) => {
  if (isTyping(event.target)) typedIn.add(event.target);
  if (!event.target.closest('form[data-live]')) dropTrouble('[data-passing="refused"]');
  if (event.target.matches('[data-autosave]')) saveSoon(event.target);
  else if (event.target.closest('form[data-live]') && event.target.type !== 'file') onLiveInput(event);
});

element.addEventListener('change', (event) => {
  if (event.target.matches('[data-upload]')) upload(event.target);
  if (event.target.matches('[data-send]')) sendFile(event.target);
  if (event.target.matches('[data-after-pause]')) endTyping();
});

element.addEventListener('keydown', stepSlider);

const listeners = { keydown: onKey, scroll: trackSoon, visibilitychange: () => { if (!document.hidden) poll(); } };
const registry = (window.__islands ||= {});
for (const [type, listener] of Object.entries(registry[island] || {})) document.removeEventListener(type, listener);
for (const [type, listener] of Object.entries(listeners)) document.addEventListener(type, listener);
registry[island] = listeners;

const old = registry.popstate; // `popstate` comes to the window, not to the document
if (old) window.removeEventListener('popstate', old);
window.addEventListener('popstate', stepBack);
registry.popstate = stepBack;

// Leaving with a save to come: send it now. It is in sessionStorage too, should the request not arrive.
window.addEventListener('pagehide', () => drafts().filter((box) => saving.has(draftName(box))).forEach(save));

watch('value', () => nextFrame().then(settle));
nextFrame().then(settle);
