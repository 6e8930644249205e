// The projector: one thing at a time. PageDown and PageUp lead on and back, B blanks the screen.

let after = 0;
let html = '';

follow(`/class/${code}/screen/events`, `/class/${code}/screen/state`, (state) => {
  after = state.after;
  byId('in-room').textContent = state.in_room;
  byId('answered').textContent = state.answered;
  byId('answered-line').hidden = !state.round;
  document.body.dataset.lobby = state.position < 0 ? 'yes' : '';
  if (state.html !== html) byId('now').innerHTML = html = state.html;
});

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === 'PageDown' || event.key === 'PageUp') {
    event.preventDefault();
    post(`/class/${code}/command`, { do: event.key === 'PageDown' ? 'next' : 'back', after })
      .then(async (answer) => { if (!answer.ok) tell((await answer.json()).error); }, () => lost(true));
  } else if (event.key === 'b' || event.key === 'B' || event.key === '.') {
    byId('blank').hidden = !byId('blank').hidden;
    document.body.classList.toggle('blanked', !byId('blank').hidden);
    post(`/class/${code}/command`, { do: byId('blank').hidden ? 'unblank' : 'blank' }).catch(() => {}); // for the teacher's page
    tell(byId('blank').hidden ? 'The screen shows the class.' : 'The screen is blank.');
  }
});
