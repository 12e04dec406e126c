// The controls hold the state of the page. Each part has one function that shows it, and each figure
// one that builds it for given colours, so that a downloaded figure has light ones.

const at = (id) => document.getElementById(id);

// An address of its own data is decoded beside the page's own work, and so is a script with an address.
async function unpacked(id) {
  const { body } = await fetch(`data:application/gzip;base64,${at(id).textContent}`);
  return new Response(body.pipeThrough(new DecompressionStream("gzip")));
}

// Chromium reads the comment: it then compiles all functions at once, also beside the page's own work.
const HINT = "//# allFunctionsCalledOnLoad\n";
async function load(id) {
  const library = document.createElement("script"), code = await (await unpacked(id)).blob();
  library.src = URL.createObjectURL(new Blob([HINT, code], { type: "text/javascript" }));
  document.head.append(library);
  await new Promise((done) => { library.onload = done; });
  URL.revokeObjectURL(library.src);
}

const plotly = load("plotly");
const { spaces, colours } = await (await unpacked("data")).json();

// --- Kendall's tau-b with a bootstrap interval, as the report computes it

const BOUNDS = ["x-from", "x-to", "y-from", "y-to"];
const pairs = (count) => (count * (count - 1)) / 2;

// Dense ranks from 0; equal values have equal ranks.
function ranks(values) {
  const levels = [...new Set(values)].sort((a, b) => a - b);
  const place = new Map(levels.map((value, rank) => [value, rank]));
  return values.map((value) => place.get(value));
}

// Tau of ranks of which each pair occurs `weights` times; `order` sorts x. A Fenwick tree counts the
// earlier pairs with a smaller y.
function tau(x, y, order, weights) {
  const levels = y.reduce((most, rank) => Math.max(most, rank + 1), 0);
  const tree = new Float64Array(levels + 1), byY = new Float64Array(levels);
  const below = (rank) => {
    let sum = 0;
    for (let place = rank; place > 0; place -= place & -place) sum += tree[place];
    return sum;
  };
  let total = 0, tiedX = 0, concordance = 0;
  for (let start = 0, end = 0; start < order.length; start = end) {
    let group = 0;
    for (; end < order.length && x[order[end]] === x[order[start]]; end++) {
      const rank = y[order[end]], weight = weights[order[end]];
      concordance += weight * (below(rank) + below(rank + 1) - total);
      byY[rank] += weight;
      group += weight;
    }
    for (let place = start; place < end; place++) {
      for (let node = y[order[place]] + 1; node <= levels; node += node & -node) {
        tree[node] += weights[order[place]];
      }
    }
    total += group;
    tiedX += pairs(group);
  }
  const tiedY = byY.reduce((sum, count) => sum + pairs(count), 0);
  return concordance / Math.sqrt(pairs(total) - tiedX) / Math.sqrt(pairs(total) - tiedY);
}

// Numbers in [0, 1) from a seed (mulberry32), so that an interval is the same whenever it is shown.
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function quantile(sorted, part) {
  const place = part * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (place - low) * (sorted[Math.ceil(place)] - sorted[low]);
}

// Fewer than three have no correlation, as in the report.
function correlation(first, second) {
  const x = ranks(first), y = ranks(second), n = x.length, order = [...x.keys()].sort((a, b) => x[a] - x[b]);
  return { x, y, n, order, tau: n > 2 ? tau(x, y, order, new Float64Array(n).fill(1)) : NaN };
}

// The page is painted before and while this resamples; null as soon as `stale` says that it is in vain. A resample has
// at most so many of the points, and the interval of so few is narrowed as if it had all ("m out of n bootstrap").
const RESAMPLED = 20_000;
async function interval({ x, y, n, order, tau: whole }, resamples, stale) {
  const random = generator(0), draws = [], size = Math.min(n, RESAMPLED);
  for (let draw = 0, since = -Infinity; draw < resamples; draw++) {
    if (performance.now() - since > 40) {
      await new Promise((done) => { setTimeout(done); });
      if (stale()) return null;
      since = performance.now();
    }
    const counts = new Float64Array(n);
    for (let drawn = 0; drawn < size; drawn++) counts[Math.floor(random() * n)]++;
    const value = tau(x, y, size < n ? order.filter((row) => counts[row]) : order, counts);
    if (!Number.isNaN(value)) draws.push(whole + (value - whole) * Math.sqrt(size / n));
  }
  draws.sort((a, b) => a - b);
  return { low: quantile(draws, 0.025), high: quantile(draws, 0.975) };
}

// --- What the controls choose

let space = spaces[0], picked = null, sorted = { column: null, descending: true }, shown = 100;
const hidden = new Set();

// The columns that were chosen for x and y, which those of other images or spaces with their labels follow.
const chosen = {};

const fits = (column) => [at("dataset").value, ""].includes(column.dataset);
const xColumn = () => space.columns[at("x").value];
function yColumn() {
  if (at("y").value) return space.columns[at("y").value];
  return space.columns.find((one) => one.kind === "accuracy" && fits(one) && one.split === at("split").value);
}

// The least and the largest defined value; Math.min takes only so many.
function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value !== null && value < low) low = value;
    if (value !== null && value > high) high = value;
  }
  return low > high ? [0, 1] : [low, high];
}

// Undefined scores are drawn on the side of the worse, and rank last.
function drawnOf(column) {
  const [low, high] = extent(column.values), room = 0.06 * (high - low || 1), aside = column.lower ? high + room : low - room;
  return column.values.map((value) => value ?? aside);
}
const ranked = (column, row) => column.values[row] ?? (column.lower ? Infinity : -Infinity);

// Rows of which there is no score at all, in contrast to an undefined one.
for (const one of spaces.flatMap((own) => own.columns)) one.unscored = new Set(one.unscored);

// The rows with an x and a y, which only accuracies and scores can lack, and those of them within the bounds.
function rowsOf(x, y) {
  const [xFrom, xTo, yFrom, yTo] = BOUNDS.map((id) => at(id).valueAsNumber);
  const xs = drawnOf(x), ys = drawnOf(y);
  const there = (row) => !x.unscored.has(row) && !y.unscored.has(row) && (y.kind !== "accuracy" || y.values[row] !== null);
  const all = [...xs.keys()].filter(there);
  const within = (row) => !(xs[row] < xFrom || xs[row] > xTo || ys[row] < yFrom || ys[row] > yTo);
  return { all, within: all.filter(within), xs, ys };
}

const nameOf = (row) => space.names[row];
const heading = (row) => (space.index ? `${space.index[row]}: ${nameOf(row)}` : nameOf(row));
const toldOf = (column, row, digits) => (column.unscored.has(row) ? "not scored" : told(column.values[row], digits));
function told(value, digits = 6) {
  if (value === null) return "undefined";
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(digits)));
}

// --- Figures

const LIGHT = { text: "#1b1b1b", back: "#ffffff", panel: "#f6f6f4", line: "#8a8a8a", faint: "#dddddd" };
function themed() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(Object.keys(LIGHT).map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
const channels = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
const luminance = (rgb) => rgb.map((part) => (part > 10 ? ((part / 255 + 0.055) / 1.055) ** 2.4 : part / 3295))
  .reduce((sum, part, place) => sum + [0.2126, 0.7152, 0.0722][place] * part, 0);

// A colour, moved towards another one until its contrast to a third is large enough (WCAG 2).
function contrasting(hex, back, towards, least) {
  const other = luminance(channels(back)) + 0.05, goal = channels(towards);
  let rgb = channels(hex);
  const ratio = () => { const own = luminance(rgb) + 0.05; return Math.max(own / other, other / own); };
  while (ratio() < least) rgb = rgb.map((part, place) => Math.round(part + 0.1 * (goal[place] - part)));
  return `#${rgb.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

// On a light panel bright colours are darkened. By different amounts, or the colour-blind could not tell some apart.
const LEAST = [3, 3, 6, 3, 7.5, 9];
function colour(place, look) {
  const own = place % colours.length, hex = colours[own], light = luminance(channels(look.panel)) > 0.5;
  return hex === "#000000" ? look.text : contrasting(hex, look.panel, look.text, light ? LEAST[own] : 3);
}
const faded = (hex, part) => `rgba(${channels(hex)},${part})`;
// Plotly reads some HTML in texts.
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const axis = (look, title, more) =>
  ({ title: { text: plain(title) }, gridcolor: look.faint, linecolor: look.line, zeroline: false, automargin: true, ...more });
const layout = (look, more) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: look.text, size: 13 },
  hoverlabel: { bgcolor: look.back, bordercolor: look.line, font: { color: look.text }, align: "left" },
  margin: { l: 55, r: 15, t: 15, b: 50 }, ...more,
});

// The bounds of the selection, and a ring around the point that is picked.
function scatterShapes(look) {
  const { all, xs, ys } = rowsOf(xColumn(), yColumn()), box = BOUNDS.map((id) => at(id).value), shapes = [];
  if (box.some(Boolean)) {
    const [x0, x1, y0, y1] = [xs, ys].flatMap((values, place) => {
      const [low, high] = extent(values), room = 0.05 * (high - low || 1);
      return [box[2 * place] || low - room, box[2 * place + 1] || high + room].map(Number);
    });
    shapes.push({ type: "rect", x0, x1, y0, y1, line: { color: look.line, dash: "dot" } });
  }
  if (all.includes(picked)) {
    shapes.push({ type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: xs[picked], yanchor: ys[picked],
      x0: -8, x1: 8, y0: -8, y1: 8, line: { width: 3, color: colour(1, look) } });
  }
  return shapes;
}

function scatterFigure(look) {
  const x = xColumn(), y = yColumn(), { all, within, xs, ys } = rowsOf(x, y);
  const facts = tableColumns().slice(0, all.length > 30_000 ? 4 : 14); // texts of so many points fill the memory
  const text = (row) => [heading(row), ...facts.map((one) => `${one.label}: ${toldOf(one, row)}`), ...noteOf(row)].map(plain).join("<br>");
  const inside = new Set(within);
  const trace = (rows, more) => ({
    type: all.length > 3000 ? "scattergl" : "scatter", mode: "markers",
    x: rows.map((row) => xs[row]), y: rows.map((row) => ys[row]), customdata: rows, text: rows.map(text),
    hovertemplate: "%{text}<extra></extra>", selectedpoints: [...rows.keys()].filter((place) => inside.has(rows[place])),
    selected: { marker: { opacity: 0.8 } }, unselected: { marker: { opacity: 0.15 } }, ...more,
  });
  const known = (row) => x.values[row] !== null && y.values[row] !== null;
  const defined = all.filter(known), lost = all.filter((row) => !known(row));
  const data = [trace(defined, { showlegend: false, marker: { color: colour(0, look), size: all.length > 3000 ? 4 : 7 } })];
  const rug = { color: colour(1, look), symbol: lost.map((row) => (x.values[row] === null ? "line-ew" : "line-ns")), size: 10, line: { width: 2, color: colour(1, look) } };
  if (lost.length) data.push(trace(lost, { name: `undefined score (${lost.length})`, marker: rug }));
  return { data, layout: layout(look, {
    xaxis: axis(look, x.label + (x.lower ? " (lower is better)" : "")), yaxis: axis(look, y.label),
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "select", selections: [],
    showlegend: lost.length > 0, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    shapes: scatterShapes(look), hovermode: "closest",
  }) };
}

// The nodes stand below each other; edges that pass a node bend around it.
function graphFigure(look) {
  const drawings = space.drawings[picked] ?? [], shapes = [], annotations = [];
  const operations = [...new Set(drawings.flatMap((one) => one.edges.map((edge) => edge[2])))].sort();
  let top = 0;
  for (const { nodes, edges, title } of drawings) {
    if (title) annotations.push({ x: 0, y: top--, text: `<b>${plain(title)}</b>`, showarrow: false });
    for (const [source, target, label] of edges) {
      const bend = target === source + 1 ? 0 : ((source + target) % 2 ? -1 : 1) * (target - source) * 0.8;
      const along = (part) => [2 * part * (1 - part) * bend, top - source - part * (target - source)];
      const straight = bend ? 0.8 : 0.5; // the part of the curve that is followed by a straight arrow
      const [[fromX, fromY], [midX, midY], [nearX, nearY], [toX, toY]] = [0, 0.5, straight, 1].map(along);
      const line = label ? colour(operations.indexOf(label), look) : look.line;
      shapes.push({ type: "path", layer: "below", line: { color: line, width: 2.5 },
        path: `M${fromX},${fromY} Q${straight * bend},${fromY + straight * (midY - fromY)} ${nearX},${nearY}` });
      annotations.push({ x: toX, y: toY, ax: nearX, ay: nearY, axref: "x", ayref: "y", text: "", showarrow: true,
        arrowhead: 2, arrowwidth: 2.5, arrowcolor: line, standoff: bend ? 18 : 13 });
      if (label) annotations.push({ x: midX, y: midY, text: plain(label), showarrow: false, bgcolor: look.back, font: { size: 12 } });
    }
    nodes.forEach((label, place) => annotations.push({ x: 0, y: top - place, text: plain(label), showarrow: false,
      bgcolor: look.back, bordercolor: look.text, borderpad: 4 }));
    top -= nodes.length + 0.5;
  }
  const none = { visible: false, fixedrange: true };
  return { data: [], layout: layout(look, { height: drawings.length ? 20 - 72 * (top + 0.45) : 10, shapes, annotations, hovermode: false,
    dragmode: false, margin: { l: 5, r: 5, t: 15, b: 5 },
    xaxis: { ...none, range: [-2.6, 2.6] }, yaxis: { ...none, range: [top + 0.8, 0.35] } }) };
}

const searchesShown = () => space.searches.filter((one) => one.dataset === at("searched").value);

// Curves have the colours of the report's figures, searches that train nothing are grey with a symbol.
const SYMBOLS = [..."●■◆✚✖▲▼◀"], DASHES = { solid: "━━", dashdot: "━╸╺", dot: "┅┅" };
function lookOf(one, look) {
  const alike = [...new Set(space.searches.filter((other) => other.trains === one.trains).map((other) => other.method))];
  const place = alike.indexOf(one.method), dash = Object.keys(DASHES)[Math.floor(place / colours.length) % 3];
  return one.trains ? { line: colour(place, look), dash, sign: DASHES[dash] }
    : { line: look.line, symbol: place % SYMBOLS.length, sign: SYMBOLS[place % SYMBOLS.length] };
}

const TICKS = [-3, -2, -1, 0, 1].flatMap((power) => [1, 1.5, 2, 3, 5, 7].map((step) => Number(`${step}e${power}`)));

function regretFigure(look, legend = false) {
  const data = [], free = (one) => !one.trains && !one.spent[0];
  const chosen = searchesShown().filter((one) => !hidden.has(one.method));
  for (const one of chosen) {
    const { line, dash, symbol } = lookOf(one, look);
    const elsewhere = one.searched_on !== space.searches[0].searched_on ? `, searched on ${one.searched_on}` : "";
    const name = plain(one.method + elsewhere), hovertemplate = "%{fullData.name}<br>regret %{y:.3f} points, %{meta} runs<extra></extra>";
    if (one.trains) {
      const band = { x: one.spent, mode: "lines", line: { width: 0, shape: "hv" }, hoverinfo: "skip", showlegend: false };
      data.push({ ...band, y: one.regret_low });
      data.push({ ...band, y: one.regret_high, fill: "tonexty", fillcolor: faded(line, 0.2) });
      data.push({ x: one.spent, y: one.regret, mode: "lines", name, hovertemplate, meta: one.runs,
        line: { color: line, dash: elsewhere ? "dash" : dash, width: 2.5, shape: "hv" } });
    } else {
      const error = { type: "data", symmetric: false, array: [one.regret_high[0] - one.regret[0]],
        arrayminus: [one.regret[0] - one.regret_low[0]] };
      data.push({ x: free(one) ? [name] : one.spent, y: one.regret, error_y: error, mode: "markers", name, hovertemplate, meta: one.runs,
        xaxis: free(one) ? "x2" : "x", marker: { color: line, size: 10, symbol } });
    }
  }
  const aside = chosen.some(free) ? 0.25 : 0;
  const [least, most] = extent(chosen.flatMap((one) => [...one.regret_low, ...one.regret_high]));
  const unit = space.searches[0].unit === "seconds" ? "simulated search time (s)" : "evaluations";
  return { data, layout: layout(look, {
    xaxis: axis(look, unit, { type: "log", domain: [aside, 1], dtick: 1 }),
    xaxis2: axis(look, "without a cost", { domain: [0, Math.max(aside - 0.05, 0.01)], visible: aside > 0, tickangle: -60 }),
    yaxis: axis(look, "regret (percent points)", { type: "log", anchor: "free", position: 0, ...(most > 8 * least && { tickvals: TICKS }) }),
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, showlegend: legend, hovermode: "closest",
  }) };
}

const correlationsShown = () => spaces.flatMap((one) => one.correlations
  .filter((row) => row.subset === at("subset").value && row.test === (at("split").value !== "val"))
  .map((row) => ({ ...row, place: [one.label, one.datasets.find((set) => set.name === row.images)?.label ?? row.images] })));

function heatFigure(look) {
  const rows = correlationsShown();
  const placeOf = (row) => row.place.map(plain).join("<br>");
  const proxies = [...new Set(rows.map((row) => row.proxy))], places = [...new Set(rows.map(placeOf))];
  const cell = (proxy, place) => rows.find((row) => row.proxy === proxy && placeOf(row) === place);
  const end = (hex) => contrasting(hex, LIGHT.text, "#ffffff", 4.5);
  const grid = (read, none = "") => proxies.map((proxy) => places.map((place) => (cell(proxy, place) ? read(cell(proxy, place)) : none)));
  return { data: [{ type: "heatmap", x: places, y: proxies.map(plain), z: grid((row) => row.tau, null), zmin: -1, zmax: 1,
    text: grid((row) => row.tau?.toFixed(2) ?? ""), texttemplate: "%{text}", textfont: { color: LIGHT.text },
    customdata: grid((row) => `${told(row.tau, 3)} [${told(row.tau_low, 3)}, ${told(row.tau_high, 3)}], n = ${row.n}`),
    hovertemplate: "%{y}<br>%{x}<br>tau %{customdata}<extra></extra>", hoverongaps: false,
    colorscale: [[0, end(colours[1])], [0.5, "#f7f7f7"], [1, end(colours[0])]], colorbar: { title: { text: "tau" } } }],
  layout: layout(look, { height: 130 + 32 * proxies.length, dragmode: false,
    xaxis: axis(look, "", { fixedrange: true }), yaxis: axis(look, "", { autorange: "reversed", fixedrange: true }) }) };
}

// Spreadsheets compute a text that begins like a formula, unless an apostrophe is before it.
const csvLine = (cells) => cells.map((cell) => {
  const text = typeof cell === "string" && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : String(cell ?? "");
  return /^'|[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}).join(",");

const identity = (row) => (space.index ? [space.index[row], nameOf(row)] : [nameOf(row)]);
const identityNames = () => (space.index ? ["index", "architecture"] : ["candidate"]);

// Of each figure its accessible name, how it is built, and its data as rows.
const FIGURES = {
  scatter: { label: () => `${yColumn().label} against ${xColumn().label}`, build: scatterFigure, rows: () => {
    const x = xColumn(), y = yColumn(), { all, within } = rowsOf(x, y), inside = new Set(within);
    const line = (row) => [...identity(row), x.values[row], y.values[row], Number(inside.has(row))];
    return [[...identityNames(), x.label, y.label, "selected"], ...all.map(line)];
  } },
  graph: { label: () => (picked === null ? "graph" : `graph of ${heading(picked)}`), build: graphFigure, rows: () => [["source", "target", "operation"], ...(space.drawings[picked] ?? []).flatMap((one) =>
    one.edges.map(([source, target, label]) => [one.nodes[source], one.nodes[target], label]))] },
  regret: { label: () => `regret of searches, ${at("searched").selectedOptions[0].text}`, build: regretFigure, rows: () => [["method", "searched on", "spent", "unit", "regret", "low", "high", "runs"],
    ...searchesShown().filter((one) => !hidden.has(one.method)).flatMap((one) => one.spent.map((spent, place) =>
      [one.method, one.searched_on, spent, one.unit, one.regret[place], one.regret_low[place], one.regret_high[place], one.runs]))] },
  heat: { label: () => `Kendall's tau of all scores, ${at("subset").value}`, build: heatFigure, rows: () => [["proxy", "space and images", "n", "tau", "low", "high"], ...correlationsShown().map(
    (row) => [row.proxy, row.place.join(" "), row.n, row.tau, row.tau_low, row.tau_high])] },
};

// The figures below the first screen are drawn after it was painted.
let paintedFirst;
const painted = new Promise((done) => { paintedFirst = done; }), drawing = {};

async function draw(name) {
  await (["regret", "heat"].includes(name) ? painted : plotly);
  return Plotly.react(at(name), ...Object.values(FIGURES[name].build(themed())), { displayModeBar: false, responsive: true });
}

function show(name) {
  at(name).ariaLabel = FIGURES[name].label();
  drawing[name] = draw(name);
  return drawing[name];
}

function save(name, content, type) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.click();
  URL.revokeObjectURL(link.href);
}

async function download(name, format) {
  const filename = `${space.name}-${name}`;
  if (format === "csv") {
    const rows = name === "table" ? tableRows() : FIGURES[name].rows();
    return save(`${filename}.csv`, `${rows.map(csvLine).join("\n")}\n`, "text/csv");
  }
  await plotly;
  const { data, layout } = FIGURES[name].build(LIGHT, true), { width, height } = at(name).getBoundingClientRect();
  return Plotly.downloadImage({ data, layout: { ...layout, paper_bgcolor: LIGHT.back } },
    { format, width, height, filename, scale: format === "png" ? 2 : 1 });
}

// --- Text and tables

let shownTaus = 0;
async function showTau() {
  const own = ++shownTaus, x = xColumn(), y = yColumn(), { all, within } = rowsOf(x, y), line = at("tau");
  const found = correlation(within.map((row) => ranked(x, row)), within.map((row) => ranked(y, row)));
  const which = within.length < all.length ? `${found.n} selected of ${all.length} ${space.members}` : `all ${found.n} ${space.members}`;
  const undefinedTau = Number.isNaN(found.tau), resamples = found.n > 2000 ? 200 : 1000;
  const say = (number, more) => {
    line.textContent = `Kendall's tau-b of ${x.label} and ${y.label}: ${number} over ${which}${more}; undefined scores rank last.`;
  };
  say(undefinedTau ? "undefined" : found.tau.toFixed(3), "");
  for (const name of Object.keys(line.dataset)) delete line.dataset[name];
  Object.assign(line.dataset, { n: found.n, tau: found.tau });
  line.ariaBusy = String(!undefinedTau);
  await painted;
  const ends = undefinedTau ? null : await interval(found, resamples, () => own !== shownTaus);
  if (!ends) return;
  say(`${found.tau.toFixed(3)} [${ends.low.toFixed(3)}, ${ends.high.toFixed(3)}]`, `; 95 % bootstrap interval, ${resamples} resamples`);
  Object.assign(line.dataset, ends);
  line.ariaBusy = "false";
}

const row = (kind, cells) => {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const box = document.createElement(kind);
    box.append(cell);
    line.append(box);
  }
  return line;
};
function button(text, act) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, onclick: act });
  return made;
}

// Of the many costs on devices the table has those that are drawn.
function tableColumns() {
  const drawn = [xColumn(), yColumn()];
  const own = space.columns.filter((one) => fits(one) && (one.kind !== "device" || drawn.includes(one)));
  return [...own.filter((one) => one.kind === "accuracy"), ...own.filter((one) => one.kind !== "accuracy")];
}

// What failed in a row; without bounds the table has the rows without an accuracy, too.
const noteOf = (row) => (space.notes?.[row] ? [space.notes[row]] : []);

// The rows of the selection in the order of the table; undefined values are last.
function tableOrder() {
  const { within } = rowsOf(xColumn(), yColumn()), { column, descending } = sorted;
  const value = (row) => (column === null ? row : column.values[row]);
  const sign = descending && column !== null ? -1 : 1;
  const rows = BOUNDS.some((id) => at(id).value) ? within : [...space.names.keys()];
  return rows.sort((a, b) => (value(a) === null) - (value(b) === null) || sign * (value(a) - value(b)) || a - b);
}
const noted = (cell) => (space.notes ? [cell] : []);
const tableRows = () => [[...identityNames(), ...tableColumns().map((one) => one.label), ...noted("status")],
  ...tableOrder().map((row) => [...identity(row), ...tableColumns().map((one) => one.values[row]), ...noted(noteOf(row)[0])])];

function showTable() {
  const columns = tableColumns(), order = tableOrder(), head = document.createElement("thead"), body = document.createElement("tbody");
  const sort = (column) => () => {
    sorted = { column, descending: sorted.column === column ? !sorted.descending : !column?.lower };
    showTable();
    at("table").querySelectorAll("thead button")[columns.indexOf(column) + 1].focus();
  };
  head.append(row("th", [button(space.members, sort(null)), ...columns.map((one) => button(one.label, sort(one))), ...noted("status")]));
  [null, ...columns].forEach((one, place) => {
    head.rows[0].cells[place].ariaSort = sorted.column === one ? (sorted.descending && one ? "descending" : "ascending") : "none";
  });
  for (const place of order.slice(0, shown)) {
    const name = Object.assign(button(heading(place), () => pick(place)), { title: heading(place) });
    const line = row("td", [name, ...columns.map((one) => toldOf(one, place)), ...noted(noteOf(place)[0] ?? "ok")]);
    line.dataset.row = place;
    body.append(line);
  }
  at("table").replaceChildren(head, body);
  at("table").classList.toggle("noted", Boolean(space.notes));
  at("more").hidden = shown >= order.length;
  markPicked();
}

// The table stays as it is, and with it the keyboard's focus.
function markPicked() {
  for (const line of at("table").tBodies[0].rows) line.classList.toggle("picked", line.dataset.row === String(picked));
}

function showPicked() {
  const known = picked !== null, { command } = xColumn();
  at("picked").textContent = known ? heading(picked) : "None is chosen yet.";
  at("command-of").hidden = !known || !command;
  const quoted = known ? `'${nameOf(picked).replaceAll("'", "'\\''")}'` : "";
  at("command").textContent = known && command
    ? command.replaceAll("{index}", space.index?.[picked]).replaceAll("{name}", () => quoted) : "";
  const facts = known ? [...tableColumns().map((one) => [one.label, toldOf(one, picked, 8)]), ...noteOf(picked).map((note) => ["status", note])] : [];
  at("facts").replaceChildren(...facts.map((cells) => row("td", cells)));
  const drawn = known && space.drawings[picked].length > 0;
  at("graph").hidden = !drawn;
  document.querySelector('.tools[data-of="graph"]').hidden = !drawn;
  if (drawn) show("graph");
}

async function pick(place) {
  picked = place;
  showPicked();
  markPicked();
  await drawing.scatter;
  Plotly.relayout(at("scatter"), { shapes: scatterShapes(themed()) }); // the points stay as they are
}

// --- Controls

function fill(id, options, keep = at(id).value) {
  at(id).replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => value === keep)) at(id).value = keep;
}

function showSelection() {
  showTau();
  showTable();
  return show("scatter");
}

function clear() {
  for (const id of BOUNDS) at(id).value = "";
}

function showChoices() {
  fill("dataset", space.datasets.map((one) => [one.name, one.label]));
  const there = space.columns.filter(fits), own = there.filter((one) => one.kind !== "accuracy");
  const number = (column) => String(space.columns.indexOf(column)), numbered = own.map((one) => [number(one), one.label]);
  const kept = (id) => own.find((one) => one.label === chosen[id]?.label && one.kind === chosen[id].kind);
  const splits = [["test", "test"], ["val", "validation"]].filter(([name]) => there.some((one) => one.split === name));
  fill("split", splits);
  at("split").closest("label").hidden = !splits.length;
  const accuracies = splits.length ? [["", "accuracy"]] : [];
  fill("x", numbered, number(kept("x")));
  fill("y", [...accuracies, ...numbered], accuracies.length && !kept("y") ? "" : number(kept("y") ?? own[1]));
  clear();
  sorted = { column: yColumn(), descending: !yColumn().lower };
  showPicked();
  if (at("subset").options.length) show("heat");
  return showSelection();
}

function showMethods() {
  const named = new Map(searchesShown().map((one) => [one.method, one]));
  at("methods").replaceChildren(at("methods").firstElementChild, ...[...named].map(([name, one]) => {
    const sign = document.createElement("span"), { line, sign: shape } = lookOf(one, themed());
    Object.assign(sign, { textContent: shape, ariaHidden: true }).style.color = line;
    const label = document.createElement("label"), box = document.createElement("input");
    Object.assign(box, { type: "checkbox", checked: !hidden.has(name), value: name });
    box.onchange = () => {
      hidden[box.checked ? "delete" : "add"](name);
      show("regret");
    };
    label.append(box, sign, name);
    return label;
  }));
  return show("regret");
}

function showSection(id, there) {
  at(id).hidden = !there;
  document.querySelector(`nav [href="#${id}"]`).hidden = !there;
}

function showSpace() {
  space = spaces[at("space").selectedIndex];
  picked = null;
  shown = 100;
  const of = space.label === space.members ? "" : ` of ${space.label}`;
  at("about").textContent = `${space.names.length} ${space.members}${of}. Everything is in this file; it needs no network.`;
  showSection("searches", space.searches.length);
  at("within").textContent = space.within.map((one) => `${one}.`).join("");
  if (space.searches.length) {
    fill("searched", [...new Map(space.searches.map((one) => [one.dataset, one.label]))]);
    showMethods();
  }
  return showChoices();
}

for (const name of Object.keys(FIGURES)) {
  const tools = document.createElement("p");
  tools.className = "tools";
  tools.dataset.of = name;
  for (const format of ["png", "svg", "csv"]) {
    const made = button(format.toUpperCase(), () => {});
    Object.assign(made.dataset, { of: name, format });
    tools.append(made);
  }
  at(name).after(tools);
}
for (const made of document.querySelectorAll("button[data-format]")) {
  made.ariaLabel = `${made.dataset.of} as ${made.textContent}`;
  made.onclick = () => download(made.dataset.of, made.dataset.format);
}

fill("space", spaces.map((one) => [one.name, one.label]));
at("space").closest("label").hidden = spaces.length < 2;
fill("subset", [...new Set(spaces.flatMap((one) => one.correlations.map((row) => row.subset)))].map((name) => [name, name]));
showSection("correlations", at("subset").options.length);
at("space").onchange = showSpace;
for (const id of ["dataset", "split"]) at(id).onchange = showChoices;
for (const id of ["x", "y"]) at(id).onchange = () => { chosen[id] = space.columns[at(id).value]; showChoices(); };
at("subset").onchange = () => show("heat");
at("searched").onchange = showMethods;
for (const id of BOUNDS) at(id).onchange = showSelection;
at("everything").onclick = () => { clear(); showSelection(); };
at("tenth").onclick = () => {
  clear();
  const y = yColumn(), sign = y.lower ? -1 : 1, { all } = rowsOf(xColumn(), y);
  const best = all.map((row) => ranked(y, row)).sort((a, b) => sign * (b - a) || 0);
  // those that fewer than a tenth surpass: ties at the border are all included
  const border = best[Math.ceil(best.length / 10) - 1];
  if (Number.isFinite(border)) at(y.lower ? "y-to" : "y-from").value = border;
  showSelection();
};
at("more").onclick = () => {
  const before = shown;
  shown += 100;
  showTable();
  at("table").tBodies[0].rows[before].querySelector("button").focus();
};
at("copy").hidden = !navigator.clipboard; // which pages from servers without encryption lack
at("copy").onclick = () => navigator.clipboard.writeText(at("command").textContent);
at("scatter").onkeydown = (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const { within, xs } = rowsOf(xColumn(), yColumn()), order = within.sort((a, b) => xs[a] - xs[b] || a - b);
  const place = order.indexOf(picked); // the first or the last where none is picked
  if (order.length) pick(order.at(place < 0 ? (step - 1) / 2 : (place + step) % order.length));
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (space.searches.length) showMethods();
  for (const name of ["scatter", "graph", "heat"]) if (at(name).offsetParent) show(name);
});

await showSpace();
at("scatter").on("plotly_click", (event) => pick(event.points[0].customdata));
at("scatter").on("plotly_selected", (event) => {
  if (!event?.range) return;
  const { x, y } = event.range, round = (value) => Number(value.toPrecision(8));
  [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)].forEach((value, place) => { at(BOUNDS[place]).value = round(value); });
  showSelection();
});
// after a double click Plotly shows all points as selected
at("scatter").on("plotly_deselect", () => { clear(); showSelection(); });
performance.mark("usable");
await new Promise((done) => { requestAnimationFrame(() => setTimeout(done)); });
paintedFirst();
await Promise.all(Object.values(drawing));
document.body.dataset.ready = "yes";
