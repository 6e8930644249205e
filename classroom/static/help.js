// The self-test on a phone: one answer goes to the app, one beat of a stream comes back.
'use strict';

(async () => {
  const BEAT_MS = 6000;
  const said = document.getElementById('reach');
  try {
    const answer = await fetch('/class/help', { method: 'POST' });
    if (!answer.ok) throw new Error(answer.status);
  } catch {
    said.textContent = 'This phone opens pages of the class, yet its answers don’t arrive. Turn off its VPN and its data saver, then reload.';
    return;
  }
  const late = 'This phone reaches the class. Something in between delays updates, so it sees each step up to two seconds late.';
  if (!window.EventSource) { said.textContent = late; return; }
  const stream = new EventSource('/class/help/events');
  const end = (text) => { stream.close(); clearTimeout(limit); said.textContent = text; };
  const limit = setTimeout(() => end(late), BEAT_MS);
  stream.addEventListener('beat', () => end('This phone reaches the class ✓'));
})();
