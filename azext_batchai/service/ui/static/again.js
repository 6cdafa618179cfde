// For pages that show what no event tells of, as files: looks again from time to time, while somebody looks.
import { refresh } from "./live.js";

setInterval(() => { if (!document.hidden) refresh(); }, 5000);
