// Makes the controls of an experiment's page work as one types, and links that only sort, filter or turn a page work
// without loading it. The address always says what is shown.
import { refresh } from "./live.js";

const PAUSE = 250;
let typing = null; // what is typed and not asked for yet: its field and timer

function asked(form) {
  const search = new URLSearchParams();
  for (const field of form.elements) {
    if (field.name && field.value && field.value !== field.dataset.usual) search.set(field.name, field.value);
  }
  return search.size ? `?${search}` : "";
}

function typed() {
  const { field } = typing ?? {};
  clearTimeout(typing?.timer);
  typing = null;
  return field;
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
  typed();
  const timer = setTimeout(() => { typing = null; follow(form); }, event.target.matches("select") ? 0 : PAUSE);
  typing = { field: event.target, timer };
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.filter")) return;
  event.preventDefault();
  typed();
  follow(event.target);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-live]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const address = new URL(link.href);
  const field = typed();
  if (field && address.search) {
    if (field.value) address.searchParams.set(field.name, field.value);
    else address.searchParams.delete(field.name);
  }
  if (address.href === location.href) return;
  history.pushState(null, "", address);
  refresh();
});

window.addEventListener("popstate", refresh);
