// The log of a job: what its processes write appears as they write it. The server tells whole rows, each with its place
// in its file; here at most MOST of them are kept, and what is before or behind them is fetched when somebody goes there.

const MOST = 5000; // rows
const NEAR = 300; // pixels from an end of the pane at which what is beyond it is fetched
const PIECE = 64 * 1024; // bytes that are fetched at once
const FAST = 10; // rows in a second that no screen reader can follow

function made(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function button(text, action, attributes = {}) {
  const node = made("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", action);
  return node;
}

function size(bytes) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (bytes < 1000) return `${unit === "B" || bytes >= 10 ? Math.round(bytes) : bytes.toFixed(1)} ${unit}`;
    bytes /= 1000;
  }
  return `${bytes.toFixed(1)} TB`;
}

// What was fetched may be more rows than are shown at once: the rest is fetched when somebody goes there.
function lastRows(chunk, most) {
  if (chunk.rows.length > most) {
    chunk.rows = chunk.rows.slice(-most);
    [[chunk.from]] = chunk.rows;
  }
  return chunk;
}

function firstRows(chunk, most) {
  if (chunk.rows.length > most) {
    [chunk.to] = chunk.rows[most];
    chunk.rows = chunk.rows.slice(0, most);
  }
  return chunk;
}

class Log {
  constructor(node) {
    this.source = node.dataset.source;
    this.files = [];
    this.rows = []; // {file, at, end, node}, as they stand in the pane; notes have no file
    this.places = new Map(); // file -> {first, last, size}: what of it is shown
    this.unfinished = new Map(); // file -> row of a line without an end
    this.pending = [];
    this.times = [];
    this.following = true;
    this.detached = false; // the end is not shown: what comes is not, either
    this.ended = false;
    this.busy = false;
    this.scrollTop = 0;
    this.attempt = 0; // what was asked for before the view became another one is not for it
    this.build(node);
    this.connect();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.close();
      else if (!this.detached) this.connect();
    });
  }

  build(node) {
    this.rank = made("select");
    this.stream = made("select", {}, ...["stdout and stderr", "stdout", "stderr"].map(
      (text, index) => made("option", { value: index ? text : "" }, text)));
    this.rankLabel = made("label", { hidden: "" }, "Rank", this.rank);
    for (const one of [this.rank, this.stream]) one.addEventListener("change", () => this.restart());
    this.follow = button("Follow", () => this.setFollowing(!this.following), { "aria-pressed": "true" });
    this.query = made("input", { type: "search", maxlength: "200", placeholder: "Search the log", "aria-label": "Search the log" });
    const form = made("form", { role: "search" }, this.query, made("button", { type: "submit" }, "Search"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    const bar = made("div", { class: "log-bar" }, this.rankLabel, made("label", {}, "Output", this.stream), this.follow, form);
    this.earlier = button("Earlier lines", () => this.loadEarlier(), { hidden: "" });
    this.later = button("Later lines", () => this.loadLater(), { hidden: "" });
    this.nothing = made("p", { class: "nothing" }, "Nothing has been written yet.");
    this.list = made("div");
    this.open = made("div");
    this.pane = made("div", { class: "log-pane", role: "log", tabindex: "0", "aria-label": "Log of the job", "aria-live": "off" },
      this.earlier, this.nothing, this.list, this.open, this.later);
    this.pane.addEventListener("scroll", () => this.scrolled());
    this.state = made("p", { class: "log-state", role: "status" });
    this.matches = made("div", { class: "matches", role: "region", "aria-label": "Lines found", hidden: "" });
    node.replaceChildren(bar, this.pane, this.state, this.matches);
  }

  // The stream

  wanted() {
    const query = new URLSearchParams();
    if (this.rank.value) query.set("rank", this.rank.value.slice(1));
    if (this.stream.value) query.set("stream", this.stream.value);
    return query;
  }

  connect() {
    this.close();
    if (this.ended) return;
    const query = this.wanted();
    query.set("from", JSON.stringify(Object.fromEntries([...this.places].map(([file, place]) => [file, place.last]))));
    const stream = new EventSource(`${this.source}/events?${query}`);
    this.events = stream;
    stream.addEventListener("files", (event) => this.setFiles(JSON.parse(event.data)));
    stream.addEventListener("lines", (event) => this.take(JSON.parse(event.data)));
    stream.addEventListener("hidden", (event) => { this.nothing.textContent = JSON.parse(event.data); });
    stream.addEventListener("end", () => {
      this.close();
      this.ended = true;
      this.flushSoon();
    });
    stream.addEventListener("error", () => {
      if (stream.readyState !== EventSource.CLOSED || this.events !== stream) return;
      this.events = null;
      setTimeout(() => { if (!this.events && !this.detached && !document.hidden) this.connect(); }, 3000);
    });
  }

  close() {
    this.events?.close();
    this.events = null;
  }

  restart() {
    this.clear();
    this.ended = false;
    this.detached = false;
    this.setFollowing(true);
    this.connect();
  }

  clear() {
    this.attempt += 1;
    this.close();
    this.rows = [];
    this.pending = [];
    this.places.clear();
    this.unfinished.clear();
    this.list.replaceChildren();
    this.open.replaceChildren();
  }

  setFiles(files) {
    this.files = files;
    const chosen = this.rank.value;
    const ranks = [...new Set(files.map((file) => file.rank))];
    this.rank.replaceChildren(made("option", { value: "" }, "all"), ...ranks.map(
      (rank) => made("option", { value: `=${rank}` }, rank || "the job itself")));
    this.rank.value = chosen;
    if (this.rank.selectedIndex < 0) this.rank.value = "";
    this.rankLabel.hidden = ranks.length < 2;
    this.colours = new Map(ranks.map((rank, index) => [rank, index % 8]));
    this.many = ranks.length > 1;
  }

  about(name) {
    return this.files.find((file) => file.file === name) ?? { file: name, rank: "", stream: "stdout" };
  }

  // Rows

  row(file, text, ...classes) {
    const { rank, stream } = this.about(file);
    const node = made("div", { class: ["row", ...(stream === "stderr" ? ["err"] : []), ...classes].join(" ") });
    const words = [...(this.many && rank && !this.rank.value ? [rank] : []),
      ...(stream === "stderr" && !this.stream.value ? ["err"] : [])];
    if (words.length) node.append(made("span", { class: `rank r${this.colours?.get(rank) ?? 0}` }, `[${words.join(" ")}]`));
    node.append(text);
    return node;
  }

  rowsOf(chunk) {
    return chunk.rows.map(([at, text], index) => ({
      file: chunk.file, at, end: chunk.rows[index + 1]?.[0] ?? chunk.to, node: this.row(chunk.file, text),
    }));
  }

  note(text) {
    return { node: made("div", { class: "row note" }, text) };
  }

  take(chunks) {
    if (this.detached) return;
    for (const chunk of chunks) {
      const { file } = chunk;
      if (chunk.cut) this.pending.push(this.note(`${file} is shorter than it was: here it begins anew.`));
      if (chunk.skipped) this.pending.push(this.note(`${size(chunk.skipped)} of ${file} are left out here.`));
      const place = this.places.get(file);
      if (!place || chunk.cut || chunk.skipped) this.places.set(file, { first: chunk.from, last: chunk.to, size: chunk.size });
      else Object.assign(place, { last: chunk.to, size: chunk.size });
      const rows = this.rowsOf(chunk);
      for (const row of rows) this.pending.push(row);
      this.setUnfinished(file, chunk.unfinished);
      if (this.pending.length > 2 * MOST) this.pending.splice(0, this.pending.length - MOST);
    }
    this.flushSoon();
  }

  setUnfinished(file, text) {
    const old = this.unfinished.get(file);
    if (!text) {
      old?.remove();
      this.unfinished.delete(file);
      return;
    }
    const node = this.row(file, text, "unfinished");
    if (old) old.replaceWith(node);
    else this.open.append(node);
    this.unfinished.set(file, node);
  }

  flushSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.flush();
    });
  }

  flush() {
    const rows = this.pending;
    this.pending = [];
    this.pace(rows.length);
    this.list.append(...rows.map((row) => row.node));
    for (const row of rows) this.rows.push(row);
    if (this.rows.length > MOST) {
      if (this.following) this.trimTop();
      else this.detach(); // somebody reads: nothing is taken away from under them
    }
    this.tell();
    this.scrollTo(this.following ? this.pane.scrollHeight : this.pane.scrollTop);
  }

  // A screen reader reads what comes slowly, and is spared the rest.
  pace(number) {
    const now = performance.now();
    this.times = this.times.filter(([time]) => now - time < 1000);
    if (number) this.times.push([now, number]);
    const fast = this.times.reduce((sum, [, count]) => sum + count, 0) > FAST;
    this.pane.setAttribute("aria-live", fast || !this.following ? "off" : "polite");
  }

  trimTop() {
    for (const row of this.rows.splice(0, this.rows.length - MOST)) {
      row.node.remove();
      const place = this.places.get(row.file);
      if (place && row.end > place.first && row.end <= place.last) place.first = row.end;
    }
  }

  trimBottom() {
    if (this.rows.length <= MOST) return;
    for (const row of this.rows.splice(MOST).reverse()) {
      row.node.remove();
      const place = this.places.get(row.file);
      if (place && row.at < place.last && row.at >= place.first) place.last = row.at;
    }
    this.detach();
  }

  detach() {
    this.detached = true;
    this.close();
    for (const row of this.pending) {
      const place = this.places.get(row.file);
      if (place && row.at < place.last) place.last = row.at;
    }
    this.pending = [];
    this.open.replaceChildren();
    this.unfinished.clear();
    this.setFollowing(false);
  }

  shown() {
    return this.files.filter((file) => this.places.has(file.file)).map((file) => file.file);
  }

  tell() {
    const places = [...this.places.values()];
    this.nothing.hidden = this.rows.length > 0 || this.unfinished.size > 0;
    if (this.ended && !this.rows.length) this.nothing.textContent = "Nothing was written.";
    this.earlier.hidden = !places.some((place) => place.first > 0);
    this.later.hidden = !this.detached;
    const total = places.reduce((sum, place) => sum + place.size, 0);
    const number = `${this.rows.length.toLocaleString("en")} line${this.rows.length === 1 ? "" : "s"}`;
    const what = this.detached ? "the end is not shown" : this.ended ? "the job has ended" : "live";
    this.state.textContent = this.rows.length ? `${number} of ${size(total)}; ${what}` : "";
  }

  // Where the reader is

  setFollowing(following) {
    this.following = following;
    this.follow.setAttribute("aria-pressed", String(following));
    if (!following) return;
    if (this.detached) this.restart();
    else this.scrollTo(this.pane.scrollHeight);
  }

  // What moves here was not moved by the reader.
  scrollTo(top) {
    this.pane.scrollTop = top;
    this.scrollTop = this.pane.scrollTop;
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.pane;
    const below = scrollHeight - clientHeight - scrollTop;
    if (scrollTop === this.scrollTop) return;
    const up = scrollTop < this.scrollTop;
    this.scrollTop = scrollTop;
    if (up && below > 4 && this.following) this.setFollowing(false);
    if (!up && below <= 4 && !this.detached && !this.following) this.setFollowing(true);
    if (up && scrollTop < NEAR && !this.earlier.hidden) this.loadEarlier();
    if (!up && below < NEAR && this.detached) this.loadLater();
  }

  async fetched(path, query) {
    const answer = await fetch(`${this.source}/${path}?${query}`, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.json();
  }

  // All that somebody asks for goes one after the other.
  async once(action) {
    if (this.busy) return;
    this.busy = true;
    const attempt = this.attempt;
    try {
      await action(() => attempt === this.attempt);
    } catch (error) {
      this.state.textContent = `The log could not be read (${error.message}): try again.`;
    } finally {
      this.busy = false;
    }
  }

  loadEarlier() {
    return this.once(async (current) => {
      const files = this.shown().filter((file) => this.places.get(file).first > 0);
      const piece = Math.max(Math.floor(PIECE / Math.max(files.length, 1)), 8192);
      const chunks = await Promise.all(files.map((file) => {
        const to = this.places.get(file).first;
        return this.fetched("range", new URLSearchParams({ file, from: Math.max(to - piece, 0), to }));
      }));
      if (!current()) return;
      const height = this.pane.scrollHeight;
      const top = this.pane.scrollTop;
      const most = Math.ceil(MOST / 2 / Math.max(files.length, 1));
      const rows = chunks.flatMap((chunk) => this.rowsOf(lastRows(chunk, most)));
      for (const chunk of chunks) this.places.get(chunk.file).first = chunk.from;
      this.list.prepend(...rows.map((row) => row.node));
      this.rows = [...rows, ...this.rows];
      this.setFollowing(false);
      this.earlier.hidden = !files.some((file) => this.places.get(file).first > 0);
      const below = this.pane.scrollHeight - height;
      this.trimBottom();
      this.tell();
      this.scrollTo(top + below);
    });
  }

  loadLater() {
    return this.once(async (current) => {
      if (!this.detached) return;
      const files = this.shown();
      const chunks = await Promise.all(files.map((file) => this.fetched(
        "range", new URLSearchParams({ file, from: this.places.get(file).last }))));
      if (!current()) return;
      let more = false;
      for (const chunk of chunks) {
        firstRows(chunk, Math.ceil(MOST / 2 / chunks.length));
        Object.assign(this.places.get(chunk.file), { last: chunk.to, size: chunk.size });
        more ||= chunk.rows.length > 0 && chunk.to < chunk.size;
        const rows = this.rowsOf(chunk);
        this.list.append(...rows.map((row) => row.node));
        this.rows = [...this.rows, ...rows];
      }
      const height = this.pane.scrollHeight;
      const top = this.pane.scrollTop;
      this.trimTop();
      if (!more) {
        this.detached = false;
        this.connect();
      }
      const above = height - this.pane.scrollHeight;
      this.tell();
      this.scrollTo(top - above);
    });
  }

  // Search

  search(more) {
    const q = this.query.value.trim();
    if (!q) return this.forget();
    return this.once(async (current) => {
      this.state.textContent = "Searching…";
      const query = this.wanted();
      query.set("q", q);
      for (const [name, value] of Object.entries(more ?? {})) query.set(name, value);
      const found = await this.fetched("search", query);
      if (!current()) return;
      this.show(q, found, more);
      this.tell();
    });
  }

  show(q, found, more) {
    const list = more ? this.matches.querySelector("ol") : made("ol");
    for (const match of found.matches) {
      const { rank, stream } = this.about(match.file);
      const words = [...(this.many && rank ? [rank] : []), ...(stream === "stderr" ? ["err"] : [])];
      const label = words.length ? [made("span", { class: `rank r${this.colours?.get(rank) ?? 0}` }, `[${words.join(" ")}]`)] : [];
      list.append(made("li", {}, button("", () => this.jump(match))));
      list.lastChild.firstChild.append(...label, ...marked(match.text, q));
    }
    const number = list.children.length;
    const text = `${number === 0 ? "No line has" : `${number}${number === 1 ? " line has" : " lines have"}`} “${q}”${found.more ? " so far" : ""}.`;
    const actions = made("span", {});
    if (found.more) actions.append(button("Search on", () => this.search(found.more)), " ");
    actions.append(button("Close", () => this.forget()));
    this.matches.replaceChildren(made("div", { role: "status" }, text, actions), list);
    this.matches.hidden = false;
  }

  forget() {
    this.matches.hidden = true;
    this.matches.replaceChildren();
  }

  jump({ file, at }) {
    return this.once(async () => {
      const before = new URLSearchParams({ file, from: Math.max(at - PIECE / 2, 0), to: at });
      const [head, tail] = await Promise.all([
        at ? this.fetched("range", before) : { file, from: 0, to: 0, rows: [] },
        this.fetched("range", new URLSearchParams({ file, from: at })),
      ]);
      this.clear();
      this.detached = true;
      this.ended = false;
      const { rank, stream } = this.about(file);
      this.rank.value = `=${rank}`;
      this.stream.value = stream;
      this.setFollowing(false);
      const rows = [...this.rowsOf(lastRows(head, MOST / 4)), ...this.rowsOf(firstRows(tail, MOST / 2))];
      this.rows = rows;
      this.places.set(file, { first: head.from, last: tail.to, size: tail.size });
      this.list.append(...rows.map((row) => row.node));
      this.trimBottom();
      this.tell();
      const hit = this.rows.find((row) => row.at === at)?.node;
      if (!hit) return;
      hit.classList.add("hit");
      this.pane.focus({ preventScroll: true });
      this.scrollTo(hit.offsetTop - this.pane.offsetTop - this.pane.clientHeight / 3);
      this.pane.scrollIntoView({ block: "nearest" });
    });
  }
}

function marked(text, q) {
  const at = text.toLowerCase().indexOf(q.toLowerCase());
  if (at < 0) return [text];
  return [text.slice(0, at), made("mark", {}, text.slice(at, at + q.length)), text.slice(at + q.length)];
}

const node = document.getElementById("log");
if (node) new Log(node);
