// The teacher's page: every button is a command; what is open or focused stays so when a new state comes.

let after = 0;
let html = '';

follow(`/class/${code}/teach/events`, `/class/${code}/teach/state`, (state) => {
  after = state.after;
  byId('in-room').textContent = state.in_room;
  byId('answered').textContent = state.answered;
  if (state.html !== html) redraw(state.html);
});

function redraw(next) {
  const place = byId('now');
  const open = [...place.querySelectorAll('details[data-keep][open]')].map((each) => each.dataset.keep);
  const focused = place.contains(document.activeElement) ? { ...document.activeElement.dataset } : null;
  place.innerHTML = html = next;
  for (const name of open) place.querySelector(`details[data-keep="${name}"]`)?.setAttribute('open', '');
  if (!focused || !focused.do) return;
  const same = [...place.querySelectorAll('[data-do]')];
  (same.find((each) => each.dataset.student === focused.student && (each.dataset.do === focused.do || focused.student)
    && each.dataset.phase === focused.phase && each.dataset.position === focused.position)
    || same[0])?.focus();
}

byId('now').addEventListener('click', async (event) => {
  const button = event.target.closest('[data-do]');
  if (!button || (button.dataset.ask && !confirm(button.dataset.ask))) return;
  const { do: what, student, position, phase } = button.dataset;
  const steps = ['next', 'back', 'go'].includes(what);
  try {
    const answer = await post(`/class/${code}/command`, {
      do: what, student, phase, position: position === undefined ? undefined : Number(position), after: steps ? after : undefined,
    });
    const trouble = answer.ok ? '' : (await answer.json()).error;
    byId('trouble').textContent = trouble;
    byId('trouble').hidden = !trouble;
  } catch { lost(true); }
});
