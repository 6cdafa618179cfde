// Draws metrics as curves: one chart of each metric, in it a curve of each job. What is drawn comes as JSON from the
// part's data-source, again and again while a job writes; a chart that is there gets new points and is not made anew.
import { refresh } from "./live.js";

const COLOURS = 7;
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
const HEIGHT = 220;
const GREATEST = 1e300; // the distance of greater ones is no number
const PAUSE = 2000; // between two looks at files that grow
const SHOWN_AT_FIRST = 12; // charts that are drawn before somebody asks for more

const scheme = matchMedia("(prefers-color-scheme: dark)");
const parts = new Map(); // element -> Curves

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function made(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function swatch(index) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: 24, y1: 4, y2: 4 })) line.setAttribute(name, value);
  const dash = DASHES[index % DASHES.length];
  if (dash.length) line.setAttribute("stroke-dasharray", dash.join(" "));
  svg.setAttribute("viewBox", "0 0 24 8");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return svg;
}

function short(value) {
  if (value === null || value === undefined) return "";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const rounded = Number(value.toPrecision(4));
  return size >= 1e6 || size < 1e-4 ? rounded.toExponential().replace("e+", "e") : String(rounded);
}

class Chart {
  constructor(name, indexes) {
    this.name = name;
    this.indexes = indexes;
    this.logarithmic = false;
    this.hidden = new Set();
    this.zoomed = false;
    this.log = made("button", { type: "button", "aria-pressed": "false" }, "log");
    this.log.title = "Logarithmic values";
    this.log.addEventListener("click", () => {
      this.logarithmic = !this.logarithmic;
      this.log.setAttribute("aria-pressed", String(this.logarithmic));
      this.draw();
    });
    this.plot = made("div", { class: "plot", role: "img" });
    this.legend = made("ul", { class: "legend" });
    this.node = made("figure", { class: "curve" },
      made("figcaption", {}, made("strong", {}, name), this.log), this.plot, this.legend);
    this.width = 0;
    this.seen = new ResizeObserver(() => this.resize());
    this.seen.observe(this.plot);
  }

  show(metric) {
    const same = this.metric && this.u && same_jobs(this.metric.series, metric.series);
    this.metric = metric;
    this.log.disabled = !metric.series.some((one) => one.y.some((value) => value > 0));
    this.plot.setAttribute("aria-label", described(metric));
    if (same) {
      this.u.setData(this.data(), !this.zoomed);
      if (this.zoomed) this.u.redraw();
      this.values(null);
    } else {
      this.draw();
    }
  }

  data() {
    const fit = (y) => (y === null ? null : Math.max(-GREATEST, Math.min(GREATEST, y)));
    const value = this.logarithmic ? (y) => (y > 0 ? fit(y) : null) : fit;
    const tables = this.metric.series.map((one) => [one.x, one.y.map(value)]);
    return tables.length === 1 ? tables[0] : window.uPlot.join(tables);
  }

  draw() {
    this.u?.destroy();
    this.u = null;
    this.zoomed = false;
    this.list();
    this.width = this.plot.clientWidth;
    if (this.width < 60) return; // not seen: resize() draws it
    const line = (filter) => ({ stroke: () => css("--line"), width: 1, ...(filter && { filter }) });
    const axis = (filter, more) => ({
      stroke: () => css("--soft"), grid: line(filter), ticks: line(filter), font: "12px system-ui, sans-serif", ...more,
    });
    const powers = (_, splits) => splits.map((value) => (Number.isInteger(Math.log10(value)) ? value : null));
    const label = (_, splits) => splits.map(short);
    this.u = new window.uPlot({
      width: this.width,
      height: HEIGHT,
      legend: { show: false },
      focus: { alpha: 0.25 },
      cursor: { drag: { x: true, y: false }, focus: { prox: 24 }, y: false },
      scales: { x: { time: false }, y: this.logarithmic ? { distr: 3 } : {} },
      axes: [
        axis(null, { values: label, size: 30 }),
        axis(this.logarithmic && powers, { values: label, size: 64 }),
      ],
      series: [{}, ...this.metric.series.map((one) => this.stroke(one))],
      hooks: {
        setCursor: [(u) => this.values(u.cursor.idx)],
        setSelect: [(u) => { if (u.select.width > 0) this.zoomed = true; }],
      },
    }, this.data(), this.plot);
    this.u.over.addEventListener("dblclick", () => { this.zoomed = false; });
  }

  stroke(one) {
    const few = one.y.filter((value) => value !== null).length < 40;
    return {
      label: one.job,
      show: !this.hidden.has(one.job),
      stroke: () => css(`--c${this.indexes.get(one.job) % COLOURS}`),
      dash: DASHES[this.indexes.get(one.job) % DASHES.length],
      width: 2,
      points: few ? { show: true, size: 5 } : {},
    };
  }

  list() {
    const focused = document.activeElement?.dataset?.job;
    this.fields = this.metric.series.map((one, index) => {
      const value = made("span", { class: "value" });
      const button = made("button", {
        type: "button", class: `c${this.indexes.get(one.job) % COLOURS}`, "aria-pressed": String(!this.hidden.has(one.job)),
      }, swatch(this.indexes.get(one.job)), made("span", { class: "name" }, one.job), value);
      button.dataset.job = one.job;
      button.title = one.job;
      button.addEventListener("click", () => {
        const shows = this.hidden.delete(one.job) || !this.hidden.add(one.job);
        button.setAttribute("aria-pressed", String(shows));
        this.u?.setSeries(index + 1, { show: shows });
      });
      const focus = (on) => this.u?.setSeries(on ? index + 1 : null, { focus: on });
      for (const [name, on] of [["pointerenter", true], ["focus", true], ["pointerleave", false], ["blur", false]]) {
        button.addEventListener(name, () => focus(on));
      }
      return [button, value];
    });
    this.legend.replaceChildren(...this.fields.map(([button]) => made("li", {}, button)));
    if (focused) this.fields.find(([button]) => button.dataset.job === focused)?.[0].focus();
    this.values(null);
  }

  // Beside each job its value under the pointer, else its last and best.
  values(at) {
    const step = at === null || at === undefined ? null : this.u.data[0][at];
    this.metric.series.forEach((one, index) => {
      const here = step === null ? null : this.u.data[index + 1][at];
      const text = here !== null && here !== undefined
        ? `${short(here)} at ${short(step)}`
        : `last ${one.last}${one.best === null ? "" : `, best ${one.best}`}`;
      if (this.fields[index][1].textContent !== text) this.fields[index][1].textContent = text;
    });
  }

  resize() {
    const width = this.plot.clientWidth;
    if (!this.metric || width === this.width) return;
    this.width = width;
    if (this.u && width >= 60) this.u.setSize({ width, height: HEIGHT });
    else this.draw();
  }

  remove() {
    this.seen.disconnect();
    this.u?.destroy();
    this.node.remove();
  }
}

const same_jobs = (one, other) =>
  one.length === other.length && one.every((series, index) => series.job === other[index].job);

function described(metric) {
  const said = metric.series.slice(0, 5).map((one) =>
    `${one.job}: last ${one.last}${one.best === null ? "" : `, best ${one.best} at step ${one.bestStep}`}`);
  const more = metric.series.length > 5 ? `; ${metric.series.length - 5} more` : "";
  return `Curves of ${metric.name}. ${said.join("; ")}${more}`;
}

class Curves {
  constructor(node) {
    this.node = node;
    this.charts = new Map();
    this.version = "";
    this.most = SHOWN_AT_FIRST;
    this.indexes = new Map(); // job -> its colour and dash in all charts, which it keeps
    this.look();
  }

  soon() {
    const own = this.refreshes;
    this.refreshes = false;
    if (own && this.search === location.search) return; // it was this that had the page refreshed
    if (this.search !== location.search) this.look();
    else this.later(Math.max(0, 1000 - (Date.now() - this.looked)));
  }

  async look() {
    clearTimeout(this.timer);
    this.looked = Date.now();
    if (this.looking) {
      this.again = true;
      return;
    }
    this.looking = true;
    const found = await this.fetched();
    this.looking = false;
    if (!this.node.isConnected) return;
    if (found && !found.same) {
      const first = !this.version;
      this.version = found.version;
      this.show(found);
      if (!first) {
        this.refreshes = true;
        refresh(); // the values that the page itself shows are others now
      }
    }
    if (this.again) {
      this.again = false;
      this.later(300);
    } else if (found?.reading) {
      this.later(300);
    } else if (!found || found.live) {
      this.later(PAUSE);
    }
  }

  later(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (document.hidden ? this.later(PAUSE) : this.look()), pause);
  }

  async fetched() {
    this.search = location.search;
    const search = this.node.hasAttribute("data-search") ? this.search : "";
    const address = new URL(this.node.dataset.source + search, location.href);
    address.searchParams.set("known", this.version);
    try {
      const answer = await fetch(address, { headers: { accept: "application/json" } });
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  show(found) {
    this.colour(found.metrics);
    const wanted = found.metrics.slice(0, this.most);
    const names = new Set(wanted.map((metric) => metric.name));
    for (const [name, chart] of this.charts) {
      if (!names.has(name)) {
        chart.remove();
        this.charts.delete(name);
      }
    }
    for (const node of this.node.querySelectorAll(":scope > p")) node.remove();
    wanted.forEach((metric, index) => {
      let chart = this.charts.get(metric.name);
      if (!chart) {
        chart = new Chart(metric.name, this.indexes);
        this.charts.set(metric.name, chart);
      }
      if (this.node.children[index] !== chart.node) this.node.insertBefore(chart.node, this.node.children[index] ?? null);
      chart.show(metric);
    });
    if (found.metrics.length > this.most) {
      const button = made("button", { type: "button" }, `Draw ${found.metrics.length - this.most} more metrics`);
      button.addEventListener("click", () => {
        this.most = found.metrics.length;
        this.show(found);
      });
      this.node.append(made("p", {}, button));
    }
    if (!found.metrics.length && !found.reading) this.say("No metrics yet.");
    for (const note of found.notes) this.say(note);
  }

  colour(metrics) {
    const jobs = new Set(metrics.flatMap((metric) => metric.series.map((one) => one.job)));
    for (const job of [...this.indexes.keys()]) if (!jobs.has(job)) this.indexes.delete(job);
    const taken = new Set(this.indexes.values());
    let free = 0;
    for (const job of jobs) {
      if (this.indexes.has(job)) continue;
      while (taken.has(free)) free += 1;
      taken.add(free);
      this.indexes.set(job, free);
    }
  }

  say(text) {
    this.node.append(made("p", { class: "empty" }, text));
  }

  remove() {
    clearTimeout(this.timer);
    for (const chart of this.charts.values()) chart.remove();
  }
}

function find() {
  for (const [node, curves] of parts) {
    if (!node.isConnected) {
      curves.remove();
      parts.delete(node);
    }
  }
  for (const node of document.querySelectorAll(".curves[data-source]")) {
    if (parts.has(node)) parts.get(node).soon();
    else parts.set(node, new Curves(node));
  }
}

document.addEventListener("refreshed", find);
scheme.addEventListener("change", () => {
  for (const curves of parts.values()) for (const chart of curves.charts.values()) chart.u?.redraw();
});
find();
