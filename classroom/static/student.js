// A student's phone. An answer waits in localStorage until the server has said that it is stored.

const unsentKey = `class-${code}-unsent`;
const draftKey = `class-${code}-draft`;
let drawn = '';
let shown = null;
let sending = false;
const ANSWER_MS = 8000; // a phone that has changed its access point hears nothing more of what it sent

function unsent() {
  try { return JSON.parse(localStorage.getItem(unsentKey)) || []; } catch { return []; }
}

function keep(answers) {
  localStorage.setItem(unsentKey, JSON.stringify(answers));
}

const stepOf = (state) => `${state.position}/${state.phase}`;
const formOf = (answer) => `${answer.position}/${answer.round}`;

function newId() { // crypto.randomUUID needs https, which a laptop in a classroom does not have
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function trouble(text) {
  byId('trouble').textContent = text;
  byId('trouble').hidden = !text;
}

async function join() {
  try {
    const answer = await post(`/class/${code}/join`, {});
    const told = await answer.json();
    if (!answer.ok) {
      trouble(told.error);
      byId('now').innerHTML = '';
      setTimeout(join, 4000); // a locked room may be unlocked
      return;
    }
    trouble('');
    byId('me').hidden = false;
    byId('rename').hidden = false;
    byId('rename').textContent = told.names_typed ? 'Another name' : 'Draw another name';
    byId('rename').dataset.typed = told.names_typed ? 'yes' : '';
    follow(`/class/${code}/events`, `/class/${code}/state`, show);
    sendUnsent();
  } catch {
    byId('line').hidden = false;
    setTimeout(join, 1500);
  }
}

// `refused`: the form whose answer was no answer, ready to mend it.
function show(state, refused = '') {
  if (shown && stepOf(shown) !== stepOf(state)) trouble('');
  shown = state;
  byId('name').textContent = state.name;
  byId('team').textContent = ` · Team ${state.team}`;
  byId('team').hidden = !state.team;
  if (state.key === drawn) { fill(state.free); return followFigure(state.figure); }
  drawn = state.key;
  const focused = byId('now').contains(document.activeElement);
  byId('now').innerHTML = state.html;
  free = false;
  setFigureFree();
  const form = document.querySelector('form.answer');
  if (form) prepare(form, state);
  const again = form && form.dataset.form === refused;
  if (again && form.hidden) correct(true);
  if (!focused) return;
  if (again) fieldOf(form)?.focus();
  else focusOn(byId('now').querySelector('h1'));
}

// Where the keyboard is when what it was at is gone.
function focusOn(element) {
  element.tabIndex = -1;
  element.focus();
}

function fieldOf(form) {
  const typed = form.querySelector('input:not([type=hidden], [type=radio]):enabled, textarea');
  const chosen = form.querySelector('input[type=radio]:checked');
  return (chosen && typed) || chosen || form.querySelector('input[type=radio]:enabled') || typed;
}

function prepare(form, state) {
  form.addEventListener('submit', submit);
  form.addEventListener('input', () => localStorage.setItem(draftKey, JSON.stringify({ form: form.dataset.form, ...values(form) })));
  restore(form);
  // A question about one slider is about the settings that it names.
  for (const control of form.querySelectorAll('[data-asks] [data-setting]')) {
    control.disabled = control.dataset.setting !== control.closest('[data-asks]').dataset.asks;
  }
  const waiting = unsent().find((answer) => formOf(answer) === form.dataset.form);
  if (waiting && waiting.id !== state.given) waitIn(form);
}

// A figure follows the teacher's until it is set free.
let free = false;

function setFigureFree() {
  const place = document.querySelector('[data-follow]');
  if (!place) return;
  for (const control of place.querySelectorAll('[data-setting]')) control.disabled = !free;
  const button = document.querySelector('button[data-free]');
  button.textContent = free ? 'Follow the teacher' : 'Move it yourself';
}

function followFigure(settings) {
  const place = document.querySelector('[data-follow]');
  if (!place || !settings || free) return;
  const moved = [...place.querySelectorAll('[data-setting]')].filter((control) => {
    const value = settings[control.dataset.setting];
    return value !== undefined && value !== settingOf(control);
  });
  for (const control of moved) {
    const value = settings[control.dataset.setting];
    const stops = control.dataset.stops?.split(' ');
    control.value = stops ? stops.indexOf(value) : value;
    delete control.dataset.value;
  }
  for (const control of moved) control.dispatchEvent(new Event('input', { bubbles: true })); // each shows its number
}

// The form stands beside a saved answer, ready to correct it.
function correct(isOpen) {
  const form = document.querySelector('form.answer');
  form.hidden = !isOpen;
  document.querySelector('[data-saved]').hidden = isOpen;
  (isOpen ? form.querySelector('input:checked') || fieldOf(form) : document.querySelector('[data-change]'))?.focus();
}

byId('now').addEventListener('click', (event) => {
  if (event.target.closest('[data-change]')) return correct(true);
  if (event.target.closest('[data-keep]')) return correct(false);
  if (!event.target.closest('button[data-free]')) return;
  free = !free;
  setFigureFree();
  if (shown) followFigure(shown.figure);
});

// Others have claimed cells meanwhile: what is chosen or typed here stays.
function fill(free) {
  for (const [cell, left] of Object.entries(free || {})) {
    const place = document.querySelector(`[data-free="${cell}"]`);
    if (!place) continue;
    place.textContent = left || 'taken';
    const radio = place.closest('label').querySelector('input');
    if (radio.closest('form').querySelector('.waiting')) continue;
    radio.disabled = !left;
    if (!left) radio.checked = false;
  }
}

const FIELDS = ['option', 'cell', 'number', 'text'];

function values(form) {
  const data = new FormData(form);
  return Object.fromEntries(FIELDS.filter((name) => data.has(name)).map((name) => [name, data.get(name)]));
}

function restore(form) {
  let draft = null;
  try { draft = JSON.parse(localStorage.getItem(draftKey)); } catch { return; }
  if (!draft || draft.form !== form.dataset.form) return;
  for (const field of form.querySelectorAll('input[name], textarea[name]')) {
    if (draft[field.name] === undefined) continue;
    if (field.type === 'radio') field.checked = field.value === draft[field.name] && !field.disabled;
    else field.value = draft[field.name];
  }
}

function waitIn(form) {
  if (form.hidden) correct(true); // a correction that was on its way when the page was closed
  const focused = form.contains(document.activeElement);
  for (const control of form.elements) control.disabled = true;
  let note = form.querySelector('.waiting');
  if (!note) {
    note = document.createElement('p');
    note.className = 'notice waiting';
    note.setAttribute('role', 'status');
    form.append(note);
  }
  note.textContent = 'Your answer is on its way. It is kept on this phone until it has arrived.';
  if (focused) focusOn(note); // a disabled button has no focus
}

function submit(event) {
  event.preventDefault();
  const form = event.target;
  const slider = form.querySelector('[data-slider]');
  if (slider) slider.value = settingOf(form.querySelector(`[data-setting="${slider.dataset.slider}"]`));
  const [position, round] = form.dataset.form.split('/').map(Number);
  const answer = { id: newId(), position, round, ...values(form), confidence: event.submitter?.value || undefined, replaces: shown.given || undefined };
  keep([...unsent().filter((each) => each.position !== position || each.round !== round), answer]);
  trouble('');
  waitIn(form);
  sendUnsent();
}

// One after the other, also those that are given meanwhile.
async function sendUnsent() {
  if (sending) return;
  sending = true;
  try {
    for (let answer = unsent()[0]; answer; answer = unsent()[0]) await sendAnswer(answer);
  } catch { setTimeout(sendUnsent, 1500); }
  sending = false;
}

async function sendAnswer(answer) {
  const got = await post(`/class/${code}/answer`, answer, { signal: timeLimit(ANSWER_MS) });
  if (got.status === 429 || got.status >= 500) throw new Error('later');
  const told = await got.json();
  keep(unsent().filter((each) => each.id !== answer.id));
  if (!got.ok) drawn = ''; // the next state draws the form anew
  if (!got.ok && (told.state || shown)) show(told.state || shown, told.state ? '' : formOf(answer));
  if (told.error) trouble(told.error); // stays beside the answer that follows, until the class goes on
}

byId('rename').addEventListener('click', async () => {
  if (!byId('rename').dataset.typed) return rename({ draw: true });
  byId('typed').hidden = !byId('typed').hidden;
  if (!byId('typed').hidden) byId('typed-name').focus();
});
byId('draw').addEventListener('click', () => rename({ draw: true }));
byId('typed').addEventListener('submit', (event) => { event.preventDefault(); rename({ name: byId('typed-name').value }); });

async function rename(wanted) {
  try {
    const answer = await post(`/class/${code}/name`, wanted);
    const told = await answer.json();
    trouble(told.error || '');
    if (answer.ok) { byId('name').textContent = told.name; byId('typed').hidden = true; }
  } catch { trouble('The name was not changed: no connection. Try again.'); }
}

addEventListener('online', sendUnsent);
document.addEventListener('visibilitychange', () => { if (document.visibilityState === 'visible') sendUnsent(); });
join();
