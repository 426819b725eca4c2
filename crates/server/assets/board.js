// Keeps the board alive: after each change the server tells of, the fragment is fetched anew and swapped in.
// Without this script the page is whole, and true of the moment it was loaded.
"use strict";
const board = document.getElementById("board");
const REFRESH_MILLISECONDS = 15000; // "connected" and "5 min" change without an entry of the ledger.
let busy = false, again = false, live = false;

function say(isLive) {
  live = isLive;
  const word = document.getElementById("live");
  if (word) word.textContent = isLive ? "live" : "not live, as of";
  document.documentElement.dataset.live = isLive ? "yes" : "no";
}

function swap(html) {
  const known = new Map([...board.querySelectorAll("td[data-is]")].map((cell) => [cell.id, cell.dataset.is]));
  const focused = document.activeElement?.id, scrolled = document.getElementById("grid")?.scrollLeft;
  board.innerHTML = html;
  const grid = document.getElementById("grid");
  if (grid && scrolled) grid.scrollLeft = scrolled;
  if (focused && focused !== "board") document.getElementById(focused)?.focus({ preventScroll: true });
  for (const cell of board.querySelectorAll("td[data-is]")) {
    if (known.size && known.get(cell.id) !== cell.dataset.is) cell.classList.add("news");
  }
}

async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const answer = await fetch("/board/fragment");
    if (!answer.ok) throw new Error(answer.statusText);
    swap(await answer.text());
    say(source.readyState === EventSource.OPEN);
  } catch { say(false); }
  busy = false;
  if (again) { again = false; refresh(); }
}

const source = new EventSource("/board/events");
source.addEventListener("changed", refresh);
source.addEventListener("open", refresh);
source.addEventListener("error", () => say(false));
setInterval(() => { if (!document.hidden) refresh(); }, REFRESH_MILLISECONDS);
