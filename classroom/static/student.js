// A student's phone. An answer waits in localStorage until the server has said that it is stored.

const unsentKey = `class-${code}-unsent`;
const draftKey = `class-${code}-draft`;
let drawn = '';
let shown = null;
let sending = false;
let look = () => {};
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

// Told beside the field that it is about, if there is one.
function trouble(text, field = null) {
  const place = byId('trouble');
  for (const each of document.querySelectorAll('[aria-invalid]')) {
    each.removeAttribute('aria-invalid');
    each.removeAttribute('aria-describedby');
  }
  const label = field?.closest?.('label');
  if (label) {
    label.after(place);
    field.setAttribute('aria-invalid', 'true');
    field.setAttribute('aria-describedby', place.id);
    field.focus();
  } else byId('now').before(place);
  place.textContent = text;
  place.hidden = !text;
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
    byId('rename').textContent = told.names_typed ? 'Another name' : 'Give me another name';
    byId('rename').dataset.typed = told.names_typed ? 'yes' : '';
    look = follow(`/class/${code}/events`, `/class/${code}/state`, show);
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
  byId('now').before(byId('trouble')); // outlives the form that it stands in
  byId('now').innerHTML = state.html;
  free = false;
  setFigureFree();
  for (const form of document.querySelectorAll('form.answer')) prepare(form, state);
  const again = document.querySelector(`form.answer[data-form="${refused}"]`);
  if (again?.hidden) correct(again, true);
  showStep(state, again);
  if (!focused) return;
  if (again) fieldOf(again)?.focus();
  else focusOn(byId('now').querySelector('[data-step]:not([hidden]) h2') || byId('now').querySelector('h1'));
}

// A quiz has its questions as steps, of which a phone shows one, and an end. The student goes back and forth; after
// an answer comes the next question without one.
let quiz = { position: null, step: 0, wasOpen: false };
const steps = () => [...document.querySelectorAll('[data-step]')];
const isOpen = (step) => Boolean(step && step.querySelector('form') && !step.querySelector('[data-saved]'));

function showStep(state, refused) {
  const all = steps();
  if (!all.length) return;
  const next = (from) => { // after `from`, else from the start, else the end
    const open = all.map((step, at) => at).filter((at) => isOpen(all[at]));
    return open.find((at) => at >= from) ?? open[0] ?? all.length - 1;
  };
  let at = quiz.step;
  if (refused) at = all.indexOf(refused.closest('[data-step]'));
  else if (quiz.position !== state.position) at = next(0);
  else if (quiz.wasOpen && !isOpen(all[at])) at = next(at);
  turnTo(at, state.position);
}

function turnTo(at, position) {
  const all = steps();
  quiz = { position, step: at, wasOpen: isOpen(all[at]) };
  all.forEach((step, index) => { step.hidden = index !== at; });
  for (const button of document.querySelectorAll('[data-turn]')) {
    const to = at + Number(button.dataset.turn);
    button.disabled = to < 0 || to >= all.length;
  }
}

// Where the keyboard is when what it was at is gone.
function focusOn(element) {
  element.tabIndex = -1;
  element.focus();
}

function fieldOf(form) {
  const typed = form.querySelector('input:not([type=hidden], [type=radio], [type=checkbox]):enabled, textarea, select');
  const chosen = form.querySelector('input:checked');
  return (chosen && typed) || chosen || form.querySelector('input[type=radio]:enabled, input[type=checkbox]:enabled') || typed;
}

function prepare(form, state) {
  form.addEventListener('submit', submit);
  form.addEventListener('input', () => {
    const [position] = form.dataset.form.split('/');
    const kept = Object.entries(drafts()).filter(([name]) => name.split('/')[0] === position);
    localStorage.setItem(draftKey, JSON.stringify({ ...Object.fromEntries(kept), [form.dataset.form]: values(form) }));
  });
  restore(form);
  // A question about one slider is about the settings that it names; the others would only fill the phone.
  for (const each of form.querySelectorAll('[data-asks] [data-setting]')) {
    each.closest('label').hidden = each.disabled = each.dataset.setting !== each.closest('[data-asks]').dataset.asks;
  }
  const waiting = unsent().find((answer) => formOf(answer) === form.dataset.form);
  if (waiting && waiting.id !== (form.dataset.given ?? state.given)) waitIn(form);
}

// A figure follows the teacher's until it is set free.
let free = false;

function setFigureFree() {
  const place = document.querySelector('[data-follow]');
  if (!place) return;
  for (const each of place.querySelectorAll('[data-setting]')) each.disabled = !free;
  const button = document.querySelector('button[data-free]');
  button.textContent = free ? 'Follow the teacher' : 'Move it yourself';
}

function followFigure(settings) {
  const place = document.querySelector('[data-follow]');
  if (!place || !settings || free) return;
  const moved = [...place.querySelectorAll('[data-setting]')].filter((each) => {
    const value = settings[each.dataset.setting];
    return value !== undefined && value !== settingOf(each);
  });
  for (const each of moved) {
    const value = settings[each.dataset.setting];
    const stops = each.dataset.stops?.split(' ');
    each.value = stops ? stops.indexOf(value) : value;
    delete each.dataset.value;
  }
  for (const each of moved) each.dispatchEvent(new Event('input', { bubbles: true })); // each shows its number
}

// The form stands beside a saved answer, ready to correct it.
function correct(form, isOpen) {
  const place = form.closest('[data-step]') || document;
  form.hidden = !isOpen;
  place.querySelector('[data-saved]').hidden = isOpen;
  (isOpen ? form.querySelector('input:checked') || fieldOf(form) : place.querySelector('[data-change]'))?.focus();
}

byId('now').addEventListener('click', (event) => {
  const turn = event.target.closest('[data-turn]');
  if (turn) {
    turnTo(quiz.step + Number(turn.dataset.turn), quiz.position);
    return focusOn(byId('now').querySelector('[data-step]:not([hidden]) h2'));
  }
  const place = event.target.closest('[data-step]') || document;
  if (event.target.closest('[data-change]')) return correct(place.querySelector('form.answer'), true);
  if (event.target.closest('[data-keep]')) return correct(place.querySelector('form.answer'), false);
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
  if ('whole' in form.dataset) return { fields: Object.fromEntries([...new Set(data.keys())].map((name) => [name, data.getAll(name)])) };
  return Object.fromEntries(FIELDS.filter((name) => data.has(name)).map((name) => [name, data.get(name)]));
}

// What is typed and not sent, by form: of a quiz several.
function drafts() {
  try { return JSON.parse(localStorage.getItem(draftKey)) || {}; } catch { return {}; }
}

function restore(form) {
  const draft = drafts()[form.dataset.form];
  if (!draft) return;
  for (const field of form.querySelectorAll('input[name], textarea[name], select[name]')) {
    const kept = draft.fields ? draft.fields[field.name] : draft[field.name] && [draft[field.name]];
    if (!kept) continue;
    if (field.type === 'radio' || field.type === 'checkbox') field.checked = kept.includes(field.value) && !field.disabled;
    else [field.value] = kept;
  }
}

function waitIn(form) {
  if (form.hidden) correct(form, true); // a correction that was on its way when the page was closed
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
  const answer = { id: newId(), position, round, ...values(form), confidence: event.submitter?.value || undefined, replaces: (form.dataset.given ?? shown.given) || undefined };
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
  if (got.ok) look();
  if (!got.ok) drawn = ''; // the next state draws the form anew
  if (!got.ok && (told.state || shown)) show(told.state || shown, told.state ? '' : formOf(answer));
  const form = document.querySelector(`form.answer[data-form="${formOf(answer)}"]`);
  if (told.error) trouble(told.error, form?.elements[told.field]); // stays until the class goes on
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
