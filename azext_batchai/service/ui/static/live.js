// Keeps a page as the service has it: a change is told by the stream of events, then the page is fetched again and what
// differs is put in place. What the reader has opened, typed or scrolled stays as it is.

const status = document.getElementById("live");
let stream;
let fetching = false;
let again = false;

export function show(state, text) {
  if (status.dataset.state !== state) {
    status.dataset.state = state;
    status.textContent = text;
  }
}

// What the reader has changed on an element: attribute -> whether it differs from what the service said.
const READERS = {
  open: (node) => node.matches("details, dialog"),
  value: (node) => node.matches("input, textarea") && node.value !== node.defaultValue,
  checked: (node) => node.matches("input") && node.checked !== node.defaultChecked,
  selected: (node) => node.matches("option") && node.selected !== node.defaultSelected,
};

// Parts with data-keep are their own module's.
const callbacks = {
  beforeNodeMorphed: (old) => !(old instanceof Element && old.hasAttribute("data-keep")),
  beforeAttributeUpdated: (name, node) => !READERS[name]?.(node),
};

async function fetched() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.status === 401) {
      end();
      return null;
    }
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    show("connecting", "reconnecting");
    return null;
  }
}

// The first change is shown at once; a page that keeps changing takes at most a quarter of the time.
export async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    do {
      again = false;
      const began = performance.now();
      const page = await fetched();
      const main = page?.getElementById("main");
      if (main) put(page, main);
      const took = performance.now() - began;
      await new Promise((done) => { setTimeout(done, Math.min(3 * took, 5000)); });
    } while (again && !document.hidden && status.dataset.state !== "ended");
  } finally {
    fetching = false;
  }
}

// A page that shows more than it did may need modules and styles that it did not name before.
function load(page) {
  for (const [kind, place] of [["link[rel=stylesheet]", "href"], ["script[src]", "src"]]) {
    const there = new Set([...document.querySelectorAll(kind)].map((node) => node.getAttribute(place)));
    for (const wanted of page.querySelectorAll(kind)) {
      if (there.has(wanted.getAttribute(place))) continue;
      const node = document.createElement(wanted.localName);
      for (const { name, value } of wanted.attributes) node.setAttribute(name, value);
      if (node.localName === "script") node.async = false; // in their order: libraries come first
      document.head.append(node);
    }
  }
}

function put(page, main) {
  load(page);
  decorate(main);
  window.Idiomorph.morph(document.getElementById("main"), document.adoptNode(main), {
    morphStyle: "outerHTML", ignoreActiveValue: true, callbacks,
  });
  document.title = page.title;
  const { events } = page.body.dataset;
  const moved = topics(events) !== topics(document.body.dataset.events);
  document.body.dataset.events = events;
  if (moved && stream) connect();
  document.dispatchEvent(new CustomEvent("refreshed"));
}

function topics(address) {
  return new URL(address, location.href).searchParams.getAll("topic").join("\n");
}

function close() {
  stream?.close();
  stream = null;
}

function end() {
  close();
  show("ended", "session over: type az batchai local ui");
}

function connect() {
  close();
  stream = new EventSource(document.body.dataset.events);
  stream.addEventListener("open", () => show("live", "live"));
  stream.addEventListener("change", refresh);
  stream.addEventListener("error", () => {
    if (stream?.readyState === EventSource.CLOSED) {
      lost();
    } else {
      show("connecting", "reconnecting");
    }
  });
}

// The stream was refused: the session is over, or the service is being started again.
async function lost() {
  stream = null;
  show("connecting", "reconnecting");
  await fetched();
  setTimeout(look, 2000);
}

function look() {
  if (!stream && !document.hidden && status.dataset.state !== "ended") connect();
}

// Nobody looks: nothing is asked for.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    close();
  } else {
    look();
  }
});
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", (event) => { if (event.persisted) look(); });

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function ago(text) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(text)) / 1000));
  if (seconds < 10) return "just now";
  const [unit, size] = UNITS.find(([, size]) => seconds >= size);
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

export function decorate(root) {
  for (const time of root.querySelectorAll("time.ago")) {
    const text = ago(time.dateTime);
    if (time.textContent === text) continue;  // what is selected stays selected
    time.title = new Date(time.dateTime).toLocaleString();
    time.textContent = text;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

decorate(document);
setInterval(() => { if (!document.hidden) decorate(document); }, 15000);
connect();
