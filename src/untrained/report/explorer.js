// The controls hold the state of the page. Each part has one function that shows it, and each figure
// one that builds it for given colours, so that a downloaded figure has light ones.

const at = (id) => document.getElementById(id);

async function unpack(id) {
  const bytes = Uint8Array.from(atob(at(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const library = document.createElement("script");
library.textContent = await unpack("plotly");
document.head.append(library);
const { spaces, colours } = JSON.parse(await unpack("data"));

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

function correlation(first, second) {
  const x = ranks(first), y = ranks(second), n = x.length, random = generator(0);
  const order = [...x.keys()].sort((a, b) => x[a] - x[b]);
  const found = { n, tau: tau(x, y, order, new Float64Array(n).fill(1)), resamples: n > 2000 ? 200 : 1000 };
  const draws = [];
  for (let draw = 0; n > 2 && draw < found.resamples; draw++) {
    const counts = new Float64Array(n);
    for (let drawn = 0; drawn < n; drawn++) counts[Math.floor(random() * n)]++;
    const value = tau(x, y, order, counts);
    if (!Number.isNaN(value)) draws.push(value);
  }
  draws.sort((a, b) => a - b);
  return { ...found, low: quantile(draws, 0.025), high: quantile(draws, 0.975) };
}

// --- What the controls choose

let space = spaces[0], picked = null, sorted = { column: null, descending: true }, shown = 100;
const hidden = new Set();

const fits = (column) => [at("dataset").value, ""].includes(column.dataset);
const chosenColumn = (label) => space.columns.find((one) => fits(one) && one.label === label);
const xColumn = () => chosenColumn(at("x").value);
function yColumn() {
  if (at("y").value) return chosenColumn(at("y").value);
  return space.columns.find((one) => one.kind === "accuracy" && fits(one) && one.split === at("split").value);
}

// Undefined scores are drawn left of the others, and rank last.
function drawnX(column) {
  const known = column.values.filter((value) => value !== null);
  const low = Math.min(...known), high = Math.max(...known);
  const aside = low - 0.06 * (high - low || 1);
  return column.values.map((value) => value ?? aside);
}
const ranked = (column, row) => column.values[row] ?? (column.lower ? Infinity : -Infinity);

// The rows with a y, and those of them within the bounds.
function rowsOf(x, y) {
  const [xFrom, xTo, yFrom, yTo] = BOUNDS.map((id) => at(id).valueAsNumber);
  const drawn = drawnX(x);
  const all = [...y.values.keys()].filter((row) => y.values[row] !== null);
  const within = (row) => !(drawn[row] < xFrom || drawn[row] > xTo || y.values[row] < yFrom || y.values[row] > yTo);
  return { all, within: all.filter(within), drawn };
}

const nameOf = (row) => space.names[row];
const heading = (row) => (space.index ? `${space.index[row]}: ${nameOf(row)}` : nameOf(row));
function told(value, digits = 6) {
  if (value === null) return "undefined";
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(digits)));
}

// --- Figures

const LIGHT = { text: "#1b1b1b", back: "#ffffff", line: "#8a8a8a", faint: "#dddddd" };
function themed() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(Object.keys(LIGHT).map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
const colour = (place, look) => (colours[place % colours.length] === "#000000" ? look.text : colours[place % colours.length]);
const faded = (hex, part) => `rgba(${[1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16))},${part})`;
const axis = (look, title, more) =>
  ({ title: { text: title }, gridcolor: look.faint, linecolor: look.line, zeroline: false, automargin: true, ...more });
const layout = (look, more) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: look.text, size: 13 },
  hoverlabel: { bgcolor: look.back, bordercolor: look.line, font: { color: look.text }, align: "left" },
  margin: { l: 55, r: 15, t: 15, b: 50 }, ...more,
});

function scatterFigure(look) {
  const x = xColumn(), y = yColumn(), { all, within, drawn } = rowsOf(x, y);
  const facts = tableColumns().slice(0, 14);
  const text = (row) => [heading(row), ...facts.map((one) => `${one.label}: ${told(one.values[row])}`)].join("<br>");
  const inside = new Set(within);
  const trace = (rows, more) => ({
    type: all.length > 3000 ? "scattergl" : "scatter", mode: "markers",
    x: rows.map((row) => drawn[row]), y: rows.map((row) => y.values[row]), customdata: rows, text: rows.map(text),
    hovertemplate: "%{text}<extra></extra>", selectedpoints: [...rows.keys()].filter((place) => inside.has(rows[place])),
    selected: { marker: { opacity: 0.8 } }, unselected: { marker: { opacity: 0.15 } }, ...more,
  });
  const defined = all.filter((row) => x.values[row] !== null), lost = all.filter((row) => x.values[row] === null);
  const data = [trace(defined, { showlegend: false, marker: { color: colour(0, look), size: all.length > 3000 ? 4 : 7 } })];
  const rug = { color: colour(1, look), symbol: "line-ew", size: 10, line: { width: 2, color: colour(1, look) } };
  if (lost.length) data.push(trace(lost, { name: `undefined score (${lost.length})`, marker: rug }));
  if (all.includes(picked)) {
    const ring = { size: 15, symbol: "circle-open", color: colour(1, look), line: { width: 3 } };
    data.push({ type: "scatter", mode: "markers", showlegend: false, x: [drawn[picked]], y: [y.values[picked]],
      hoverinfo: "skip", marker: ring });
  }
  const box = BOUNDS.map((id) => at(id).value);
  const edges = [[...drawn], y.values].flatMap((values, place) => {
    const known = values.filter((value) => value !== null), room = 0.05 * (Math.max(...known) - Math.min(...known) || 1);
    return [box[2 * place] || Math.min(...known) - room, box[2 * place + 1] || Math.max(...known) + room].map(Number);
  });
  const shape = { type: "rect", x0: edges[0], x1: edges[1], y0: edges[2], y1: edges[3], line: { color: look.line, dash: "dot" } };
  return { data, layout: layout(look, {
    xaxis: axis(look, x.label + (x.lower ? " (lower is better)" : "")), yaxis: axis(look, y.label),
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "select", selections: [],
    showlegend: lost.length > 0, legend: { orientation: "h", y: 1.02, yanchor: "bottom" },
    shapes: box.some(Boolean) ? [shape] : [], hovermode: "closest",
  }) };
}

// The nodes stand below each other; edges that pass a node bend around it.
function graphFigure(look) {
  const drawings = space.drawings[picked] ?? [], shapes = [], annotations = [];
  const operations = [...new Set(drawings.flatMap((one) => one.edges.map((edge) => edge[2])))].sort();
  let top = 0;
  for (const { nodes, edges, title } of drawings) {
    if (title) annotations.push({ x: 0, y: top--, text: `<b>${title}</b>`, showarrow: false });
    for (const [source, target, label] of edges) {
      const bend = target === source + 1 ? 0 : ((source + target) % 2 ? -1 : 1) * (target - source) * 0.8;
      const along = (part) => [2 * part * (1 - part) * bend, top - source - part * (target - source)];
      const straight = 0.7; // the part of the curve that is followed by a straight arrow
      const [[fromX, fromY], [midX, midY], [nearX, nearY], [toX, toY]] = [0, 0.5, straight, 1].map(along);
      const line = label ? colour(operations.indexOf(label), look) : look.line;
      shapes.push({ type: "path", layer: "below", line: { color: line, width: 2.5 },
        path: `M${fromX},${fromY} Q${straight * bend},${fromY + straight * (midY - fromY)} ${nearX},${nearY}` });
      annotations.push({ x: toX, y: toY, ax: nearX, ay: nearY, axref: "x", ayref: "y", text: "", showarrow: true,
        arrowhead: 2, arrowwidth: 2.5, arrowcolor: line, standoff: 13 });
      if (label) annotations.push({ x: midX, y: midY, text: label, showarrow: false, bgcolor: look.back, font: { size: 12 } });
    }
    nodes.forEach((label, place) => annotations.push({ x: 0, y: top - place, text: label, showarrow: false,
      bgcolor: look.back, bordercolor: look.text, borderpad: 4 }));
    top -= nodes.length + 0.5;
  }
  const none = { visible: false, fixedrange: true };
  return { data: [], layout: layout(look, { height: drawings.length ? 40 - 72 * top : 10, shapes, annotations, hovermode: false,
    dragmode: false, margin: { l: 5, r: 5, t: 15, b: 5 },
    xaxis: { ...none, range: [-2.6, 2.6] }, yaxis: { ...none, range: [top + 0.8, 0.6] } }) };
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
    const name = one.method + elsewhere, hovertemplate = `${name}<br>regret %{y:.3f} points, ${one.runs} runs<extra></extra>`;
    if (one.trains) {
      const band = { x: one.spent, mode: "lines", line: { width: 0, shape: "hv" }, hoverinfo: "skip", showlegend: false };
      data.push({ ...band, y: one.regret_low });
      data.push({ ...band, y: one.regret_high, fill: "tonexty", fillcolor: faded(line, 0.2) });
      data.push({ x: one.spent, y: one.regret, mode: "lines", name, hovertemplate,
        line: { color: line, dash: elsewhere ? "dash" : dash, width: 2.5, shape: "hv" } });
    } else {
      const error = { type: "data", symmetric: false, array: [one.regret_high[0] - one.regret[0]],
        arrayminus: [one.regret[0] - one.regret_low[0]] };
      data.push({ x: free(one) ? [name] : one.spent, y: one.regret, error_y: error, mode: "markers", name, hovertemplate,
        xaxis: free(one) ? "x2" : "x", marker: { color: line, size: 10, symbol } });
    }
  }
  const aside = chosen.some(free) ? 0.25 : 0;
  const unit = space.searches[0].unit === "seconds" ? "simulated search time (s)" : "evaluations";
  return { data, layout: layout(look, {
    xaxis: axis(look, unit, { type: "log", domain: [aside, 1], dtick: 1 }),
    xaxis2: axis(look, "without a cost", { domain: [0, Math.max(aside - 0.05, 0.01)], visible: aside > 0, tickangle: -60 }),
    yaxis: axis(look, "regret (percent points)", { type: "log", anchor: "free", position: 0, tickvals: TICKS }),
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, showlegend: legend, hovermode: "closest",
  }) };
}

const correlationsShown = () => spaces.flatMap((one) => one.correlations
  .filter((row) => row.subset === at("subset").value && row.test === (at("split").value === "test"))
  .map((row) => ({ ...row, place: `${one.label}<br>${one.datasets.find((set) => set.name === row.images)?.label ?? row.images}` })));

function heatFigure(look) {
  const rows = correlationsShown();
  const proxies = [...new Set(rows.map((row) => row.proxy))], places = [...new Set(rows.map((row) => row.place))];
  const cell = (proxy, place) => rows.find((row) => row.proxy === proxy && row.place === place);
  const grid = (read, none = "") => proxies.map((proxy) => places.map((place) => (cell(proxy, place) ? read(cell(proxy, place)) : none)));
  return { data: [{ type: "heatmap", x: places, y: proxies, z: grid((row) => row.tau, null), zmin: -1, zmax: 1,
    text: grid((row) => row.tau?.toFixed(2) ?? ""), texttemplate: "%{text}", textfont: { color: LIGHT.text },
    customdata: grid((row) => `${told(row.tau, 3)} [${told(row.tau_low, 3)}, ${told(row.tau_high, 3)}], n = ${row.n}`),
    hovertemplate: "%{y}<br>%{x}<br>tau %{customdata}<extra></extra>", hoverongaps: false,
    colorscale: [[0, colours[1]], [0.5, "#f7f7f7"], [1, colours[0]]], colorbar: { title: { text: "tau" } } }],
  layout: layout(look, { height: 130 + 32 * proxies.length, dragmode: false,
    xaxis: axis(look, "", { fixedrange: true }), yaxis: axis(look, "", { autorange: "reversed", fixedrange: true }) }) };
}

const csvLine = (cells) => cells.map((cell) => {
  const text = cell === null || cell === undefined ? "" : String(cell);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}).join(",");

const identity = (row) => (space.index ? [space.index[row], nameOf(row)] : [nameOf(row)]);
const identityNames = () => (space.index ? ["index", "architecture"] : ["candidate"]);

// Of each figure how it is built and its data as rows.
const FIGURES = {
  scatter: { build: scatterFigure, rows: () => {
    const x = xColumn(), y = yColumn(), { all, within } = rowsOf(x, y), inside = new Set(within);
    const line = (row) => [...identity(row), x.values[row], y.values[row], Number(inside.has(row))];
    return [[...identityNames(), x.label, y.label, "selected"], ...all.map(line)];
  } },
  graph: { build: graphFigure, rows: () => [["source", "target", "operation"], ...(space.drawings[picked] ?? []).flatMap((one) =>
    one.edges.map(([source, target, label]) => [one.nodes[source], one.nodes[target], label]))] },
  regret: { build: regretFigure, rows: () => [["method", "searched on", "spent", "unit", "regret", "low", "high", "runs"],
    ...searchesShown().filter((one) => !hidden.has(one.method)).flatMap((one) => one.spent.map((spent, place) =>
      [one.method, one.searched_on, spent, one.unit, one.regret[place], one.regret_low[place], one.regret_high[place], one.runs]))] },
  heat: { build: heatFigure, rows: () => [["proxy", "space and images", "n", "tau", "low", "high"], ...correlationsShown().map(
    (row) => [row.proxy, row.place.replace("<br>", " "), row.n, row.tau, row.tau_low, row.tau_high])] },
};

async function show(name) {
  await Plotly.react(at(name), ...Object.values(FIGURES[name].build(themed())), { displayModeBar: false, responsive: true });
}

function save(name, content, type) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.click();
  URL.revokeObjectURL(link.href);
}

function download(name, format) {
  const filename = `${space.name}-${name}`;
  if (format === "csv") {
    const rows = name === "table" ? tableRows() : FIGURES[name].rows();
    return save(`${filename}.csv`, `${rows.map(csvLine).join("\n")}\n`, "text/csv");
  }
  const { data, layout } = FIGURES[name].build(LIGHT, true), { width, height } = at(name).getBoundingClientRect();
  return Plotly.downloadImage({ data, layout: { ...layout, paper_bgcolor: LIGHT.back } },
    { format, width, height, filename, scale: format === "png" ? 2 : 1 });
}

// --- Text and tables

function showTau() {
  const x = xColumn(), y = yColumn(), { all, within } = rowsOf(x, y);
  const found = correlation(within.map((row) => ranked(x, row)), within.map((row) => y.values[row]));
  const which = within.length < all.length ? `${found.n} selected of ${all.length} ${space.members}` : `all ${found.n} ${space.members}`;
  const number = Number.isNaN(found.tau) ? "undefined"
    : `${found.tau.toFixed(3)} [${found.low.toFixed(3)}, ${found.high.toFixed(3)}]`;
  at("tau").textContent = `Kendall's tau-b of ${x.label} and ${y.label}: ${number} over ${which}; `
    + `95 % bootstrap interval, ${found.resamples} resamples; undefined scores rank last.`;
  Object.assign(at("tau").dataset, found);
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

function tableColumns() {
  const own = space.columns.filter(fits);
  return [...own.filter((one) => one.kind === "accuracy"), ...own.filter((one) => one.kind !== "accuracy")];
}

// The rows of the selection in the order of the table; undefined values are last.
function tableOrder() {
  const { within } = rowsOf(xColumn(), yColumn()), { column, descending } = sorted;
  const value = (row) => (column === null ? row : column.values[row]);
  const sign = descending && column !== null ? -1 : 1;
  return within.sort((a, b) => (value(a) === null) - (value(b) === null) || sign * (value(a) - value(b)) || a - b);
}
const tableRows = () => [[...identityNames(), ...tableColumns().map((one) => one.label)],
  ...tableOrder().map((row) => [...identity(row), ...tableColumns().map((one) => one.values[row])])];

function showTable() {
  const columns = tableColumns(), order = tableOrder(), head = document.createElement("thead"), body = document.createElement("tbody");
  const sort = (column) => () => {
    sorted = { column, descending: sorted.column === column ? !sorted.descending : !column?.lower };
    showTable();
    at("table").querySelectorAll("thead button")[columns.indexOf(column) + 1].focus();
  };
  head.append(row("th", [button(space.members, sort(null)), ...columns.map((one) => button(one.label, sort(one)))]));
  [null, ...columns].forEach((one, place) => {
    head.rows[0].cells[place].ariaSort = sorted.column === one ? (sorted.descending && one ? "descending" : "ascending") : "none";
  });
  for (const place of order.slice(0, shown)) {
    const line = row("td", [button(heading(place), () => pick(place)), ...columns.map((one) => told(one.values[place]))]);
    line.classList.toggle("picked", place === picked);
    body.append(line);
  }
  at("table").replaceChildren(head, body);
  at("more").hidden = shown >= order.length;
}

function showPicked() {
  const known = picked !== null, commanded = [xColumn(), ...space.columns.filter(fits)].find((one) => one.command);
  at("picked").textContent = known ? heading(picked) : "None is chosen yet.";
  at("command-of").hidden = !known || !commanded;
  const quoted = known ? `'${nameOf(picked).replaceAll("'", "'\\''")}'` : "";
  at("command").textContent = known && commanded
    ? commanded.command.replace("{index}", space.index?.[picked]).replace("{name}", () => quoted) : "";
  at("facts").replaceChildren(...(known ? tableColumns().map((one) => row("td", [one.label, told(one.values[picked], 8)])) : []));
  const drawn = known && space.drawings[picked].length > 0;
  at("graph").hidden = !drawn;
  document.querySelector('.tools[data-of="graph"]').hidden = !drawn;
  if (drawn) show("graph");
}

function pick(place) {
  picked = place;
  showPicked();
  showTable();
  show("scatter");
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
  const there = space.columns.filter(fits), own = there.filter((one) => one.kind !== "accuracy").map((one) => [one.label, one.label]);
  const splits = [["test", "test"], ["val", "validation"]].filter(([name]) => there.some((one) => one.split === name));
  fill("split", splits);
  at("split").closest("label").hidden = !splits.length;
  const accuracies = splits.length ? [["", "accuracy"]] : [];
  fill("x", own);
  fill("y", [...accuracies, ...own], at("y").value || (accuracies.length ? "" : own.at(1)?.[0]));
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

function showSpace() {
  space = spaces[at("space").selectedIndex];
  picked = null;
  shown = 100;
  const of = space.label === space.members ? "" : ` of ${space.label}`;
  at("about").textContent = `${space.names.length} ${space.members}${of}. Everything is in this file; it needs no network.`;
  at("searches").hidden = !space.searches.length;
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
at("correlations").hidden = !at("subset").options.length;
at("space").onchange = showSpace;
for (const id of ["dataset", "split", "x", "y"]) at(id).onchange = showChoices;
at("subset").onchange = () => show("heat");
at("searched").onchange = showMethods;
for (const id of BOUNDS) at(id).onchange = showSelection;
at("everything").onclick = () => { clear(); showSelection(); };
at("tenth").onclick = () => {
  const y = yColumn(), sign = y.lower ? -1 : 1;
  const known = y.values.filter((value) => value !== null).sort((a, b) => sign * (b - a));
  clear();
  // those that fewer than a tenth surpass: ties at the border are all included
  at(y.lower ? "y-to" : "y-from").value = known[Math.ceil(known.length / 10) - 1];
  showSelection();
};
at("more").onclick = () => { shown += 100; showTable(); };
at("copy").onclick = () => navigator.clipboard.writeText(at("command").textContent);
at("scatter").onkeydown = (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const { within, drawn } = rowsOf(xColumn(), yColumn()), order = within.sort((a, b) => drawn[a] - drawn[b] || a - b);
  pick(order[(order.indexOf(picked) + step + order.length) % order.length]);
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
document.body.dataset.ready = "yes";
