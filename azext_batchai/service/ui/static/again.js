// A part with data-again=SECONDS shows what no event tells of, or the time itself: the page is fetched again then.
import { refresh } from "./live.js";

const status = document.getElementById("live");
let timer;

function plan() {
  clearTimeout(timer);
  const seconds = Math.min(...[...document.querySelectorAll("[data-again]")].map((part) => Number(part.dataset.again)));
  if (Number.isFinite(seconds) && status.dataset.state !== "ended") {
    timer = setTimeout(() => { if (document.hidden) plan(); else refresh().then(plan); }, 1000 * seconds);
  }
}

document.addEventListener("refreshed", plan);
plan();
