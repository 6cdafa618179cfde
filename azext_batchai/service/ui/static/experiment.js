// Makes the controls of an experiment's page work as one types, and links that only sort, filter or turn a page work
// without loading it. The address always says what is shown. While jobs run, looks again for what they have written.
import { refresh } from "./live.js";

const PAUSE = 250;
let typing;
let again;

function asked(form) {
  const search = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) search.set(name, value);
  return search.size ? `?${search}` : "";
}

function follow(form) {
  const address = location.pathname + asked(form);
  if (address === location.pathname + location.search) return;
  history.replaceState(null, "", address);
  refresh();
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("form.filter");
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => follow(form), event.target.matches("select") ? 0 : PAUSE);
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.filter")) return;
  event.preventDefault();
  clearTimeout(typing);
  follow(event.target);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-live]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (link.href === location.href) return;
  history.pushState(null, "", link.href);
  refresh();
});

window.addEventListener("popstate", refresh);

// What jobs write is no change of the state: nothing tells of it.
function look() {
  clearTimeout(again);
  const seconds = document.getElementById("experiment")?.dataset.again;
  if (seconds) again = setTimeout(() => (document.hidden ? look() : refresh()), Number(seconds) * 1000);
}

document.addEventListener("refreshed", look);
look();
