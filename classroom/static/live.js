// Shared by the three screens of a class: the stream of states, and what happens when it breaks.
// The server sends states, never votes: the newest one is the whole truth, so a missed one costs nothing.
'use strict';

const SILENCE_MS = 25000; // the server sends a beat every 10 s
const POLL_MS = 2000;
const POLL_LIMIT_MS = 8000;
const FAILURES_BEFORE_POLLING = 3;
const SILENT = 2; // failures that a stream counts for which opens and says nothing: a proxy keeps it back
const STREAM_AGAIN_MS = 60000;

const byId = (id) => document.getElementById(id);
const code = byId('main').dataset.code;

// Returns a function that asks for the state now, on a page that polls: what was just sent has changed it.
function follow(streamUrl, stateUrl, show) {
  let source = null; // none while this page polls
  let heard = Date.now();
  let failures = 0;
  let polling = null;
  let againAt = 0; // when a page that polls tries a stream again

  function connect() {
    close();
    heard = Date.now();
    if (!window.EventSource) return poll();
    source = new EventSource(streamUrl);
    source.onmessage = (event) => { failures = 0; take(JSON.parse(event.data)); };
    source.addEventListener('beat', () => { failures = 0; heard = Date.now(); lost(false); });
    source.onerror = () => {
      failures += 1;
      lost(true);
      if (source.readyState !== EventSource.CLOSED && failures < FAILURES_BEFORE_POLLING) return;
      close();
      polling = setTimeout(poll, POLL_MS);
    };
  }

  function close() {
    clearTimeout(polling);
    if (source) source.close();
    source = null;
    if (failures >= FAILURES_BEFORE_POLLING) againAt = Date.now() + STREAM_AGAIN_MS;
  }

  async function poll() {
    clearTimeout(polling);
    try {
      const answer = await fetch(stateUrl, { cache: 'no-store', signal: timeLimit(POLL_LIMIT_MS) });
      if (answer.ok) take(await answer.json());
      else lost(answer.status >= 500, answer.status < 500 ? await refusalOf(answer) : '');
      if (answer.status >= 500) failures = 0; // as below
      if (answer.ok && window.EventSource && (failures < FAILURES_BEFORE_POLLING || Date.now() > againAt)) return connect();
    } catch {
      failures = 0; // nothing comes through, which says nothing of streams
      lost(true);
    }
    if (!source) polling = setTimeout(poll, POLL_MS); // a page that woke meanwhile has a stream
  }

  function take(state) {
    heard = Date.now();
    lost(false);
    show(state);
    tell(state.say);
    clock(state.ends_at, state.now);
  }

  function wake() {
    if (document.visibilityState !== 'visible') return;
    // A phone that slept may hold a stream that ended without a word.
    if (!source || source.readyState !== 1 || Date.now() - heard > SILENCE_MS / 2) { failures = 0; connect(); }
  }

  document.addEventListener('visibilitychange', wake);
  addEventListener('online', wake);
  addEventListener('pageshow', wake);
  setInterval(() => {
    if (!source || Date.now() - heard <= SILENCE_MS) return;
    failures += SILENT;
    close();
    poll();
  }, 5000);
  connect();
  return () => { if (!source) poll(); };
}

async function refusalOf(answer) {
  const isJson = (answer.headers.get('Content-Type') || '').includes('json');
  return isJson ? (await answer.json()).error : answer.text();
}

let refusal = ''; // why there is no state, in #trouble until one comes
function lost(isLost, why = '') {
  byId('line').hidden = !isLost;
  const trouble = byId('trouble');
  if (!trouble || why === refusal) return;
  if (why || trouble.textContent === refusal) { trouble.textContent = why; trouble.hidden = !why; }
  refusal = why;
}

let told = '';
function tell(text) {
  if (text && text !== told) byId('live').textContent = told = text;
}

// Who is here and who has answered, on the teacher's page and on the projector.
function count(state) {
  byId('in-room').textContent = state.in_room;
  byId('away').textContent = state.away ? `, ${state.away} away` : '';
  byId('answered').textContent = state.answered;
  byId('answered-line').hidden = !state.round;
}

let ticking = null;
let upAt = null; // the end of the time that was last told
function clock(endsAt, now) {
  clearInterval(ticking);
  const place = byId('clock');
  if (!place) return;
  const ahead = now - Date.now(); // the server's clock counts
  const draw = () => {
    const left = endsAt ? Math.max(0, Math.ceil((endsAt - Date.now() - ahead) / 1000)) : null;
    const dot = 'alone' in place.dataset && byId('answered-line').hidden ? '' : ' · ';
    const words = left ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')} left` : 'Time is up';
    place.textContent = left === null ? '' : `${dot}${words}`;
    if (left !== 0 || upAt === endsAt) return;
    upAt = endsAt;
    byId('live').textContent = 'Time is up.';
  };
  draw();
  if (endsAt) ticking = setInterval(draw, 500);
}

// What a figure's controls say now; a slider with stops counts them, and keeps a value between two of them.
function settingOf(control) {
  const stops = control.dataset.stops;
  return control.dataset.value ?? (stops ? stops.split(' ')[Number(control.value)] : control.value);
}

function settingsOf(place) {
  return Object.fromEntries([...place.querySelectorAll('[data-setting]')].map((each) => [each.dataset.setting, settingOf(each)]));
}

// AbortSignal.timeout is not in the browsers of older phones.
function timeLimit(ms) {
  const limit = new AbortController();
  setTimeout(() => limit.abort(), ms);
  return limit.signal;
}

async function post(path, body, options = {}) {
  return fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    ...options,
  });
}
