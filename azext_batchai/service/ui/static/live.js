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

// Parts with data-keep are their own module's; what is open stays open.
const callbacks = {
  beforeNodeMorphed: (old) => !(old instanceof Element && old.hasAttribute("data-keep")),
  beforeAttributeUpdated: (name, node) => !(name === "open" && node.matches("details, dialog")),
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

export async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    do {
      again = false;
      const page = await fetched();
      const main = page?.getElementById("main");
      if (main) put(page, main);
    } while (again);
  } finally {
    fetching = false;
  }
}

function put(page, main) {
  decorate(main);
  window.Idiomorph.morph(document.getElementById("main"), document.adoptNode(main), {
    morphStyle: "outerHTML", ignoreActiveValue: true, callbacks,
  });
  document.title = page.title;
  document.body.dataset.events = page.body.dataset.events;
  document.dispatchEvent(new CustomEvent("refreshed"));
}

function end() {
  stream?.close();
  stream = null;
  show("ended", "session over: az batchai local ui");
}

function connect() {
  stream?.close();
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
  if (status.dataset.state === "ended") return;
  setTimeout(() => { if (!stream && !document.hidden) connect(); }, 2000);
}

// Nobody looks: nothing is asked for.
document.addEventListener("visibilitychange", () => {
  if (status.dataset.state === "ended") return;
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (!stream) {
    connect();
  }
});

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function ago(text) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(text)) / 1000));
  if (seconds < 10) return "just now";
  const [unit, size] = UNITS.find(([, size]) => seconds >= size);
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

export function decorate(root) {
  for (const time of root.querySelectorAll("time.ago")) {
    time.title = new Date(time.dateTime).toLocaleString();
    time.textContent = ago(time.dateTime);
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
