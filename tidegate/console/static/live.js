// Keeps `main[data-live="SECONDS"]` fresh: fetches the page's own address and changes what differs.
//
// Nothing is fetched while the page is hidden, a dialog is open, or somebody types or selects.
import { morph } from "./morph.js";

const main = document.querySelector("main[data-live]");
const PATIENCE_MS = 15_000;

function busy() {
  const focused = document.activeElement;
  const typing = focused instanceof Element && main.contains(focused) &&
    focused.matches("input, select, textarea");
  const selected = getSelection();
  const selecting = selected !== null && !selected.isCollapsed && main.contains(selected.anchorNode);
  return document.querySelector("dialog[open]") !== null || typing || selecting;
}

function say(state, words) {
  for (const place of document.querySelectorAll("[data-live-state]")) {
    place.dataset.state = state;
    place.textContent = words;
  }
}

async function refresh() {
  const answer = await fetch(location.href, {
    headers: { "tidegate-fragment": "1" },
    redirect: "error",
    cache: "no-store",
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (answer.status === 401) {
    location.reload(); // to the way in, and back here
    return;
  }
  if (!answer.ok) {
    throw new Error(`the page answers ${answer.status}`);
  }
  const answered = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = answered.querySelector("main");
  if (fresh !== null && !busy()) {
    // What was just done is told with the whole page only, and stays as long as that.
    const told = main.querySelectorAll(":scope > .flash[role=status]");
    fresh.prepend(...[...told].map((each) => each.cloneNode(true)));
    morph(main, fresh);
  }
}

if (main !== null) {
  const everyMs = Number(main.dataset.live) * 1000;
  let since = new Date();
  let timer = 0;
  const turn = async () => {
    clearTimeout(timer);
    if (document.hidden) {
      return;
    }
    if (!busy()) {
      try {
        await refresh();
        since = new Date();
        say("live", "Live");
      } catch {
        say("late", `Not reached since ${since.toLocaleTimeString()}`);
      }
    }
    timer = setTimeout(turn, everyMs);
  };
  document.addEventListener("visibilitychange", turn);
  timer = setTimeout(turn, everyMs);
}
