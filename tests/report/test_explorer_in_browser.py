"""The interactive page as people use it, in Chromium (Debian's package `chromium`)."""

import csv
import re
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau
from tests.report import explored

from untrained.report.explorer import explorer, rank_data, space_data

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: `apt install chromium`"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The inputs of a small run, and the file of its page."""
    folder = tmp_path_factory.mktemp("explored")
    inputs = explored.inputs(folder)
    spaces = [space_data(inputs), other(inputs), many(), failing()]
    (folder / "index.html").write_text(explorer("Four spaces", spaces))
    return inputs, folder / "index.html"


def other(inputs):
    """A space with test accuracies alone, no searches and a candidate that needs quotes."""
    data = space_data(inputs) | {"name": "other", "label": "other", "searches": []}
    data["columns"] = [one for one in data["columns"] if one["split"] != "val"]
    command = {"command": "untrained rank {name}"}
    data["columns"] = [one | command for one in data["columns"]]
    data["names"] = ["it's $mine", *data["names"][1:]]
    return data | {"index": None, "correlations": []}


def many():
    """A space of 130 points and 7 searches with two columns of one label, and names to escape."""
    generator = np.random.default_rng(3)
    values = generator.normal(size=(4, 130)).round(2)
    shared = {"dataset": "", "split": "", "lower": False}
    labels = ["first", "twice", "twice", "partly"]
    kinds = ["score", "score", "cost", "score"]
    columns = [
        shared | {"label": label, "kind": kind, "values": own.tolist()}
        for label, kind, own in zip(labels, kinds, values, strict=True)
    ]
    columns[0]["command"] = "score {name}"
    columns[3] |= {"unscored": [*range(30)], "values": [*[None] * 31, *columns[3]["values"][31:]]}
    names = ["=1+2", "<b>bold</b> & co", *map("name {}".format, range(128))]
    data = {"name": "many", "label": "many", "members": "networks", "index": None, "names": names}
    curve = {"dataset": "", "searched_on": "", "unit": "evaluations", "runs": 3, "trains": True}
    curve |= {"label": "noise", "spent": [1, 2], "regret": [2, 1]}
    curve |= {"regret_low": [1, 1], "regret_high": [3, 2]}
    searches = [curve | {"method": f"search {number}"} for number in range(7)]
    searches.append(searches[1] | {"searched_on": "other"})
    data |= {"notes": None, "drawings": [[]] * 130, "correlations": [], "searches": searches}
    data["within"] = ["Only cheap ones"]
    return data | {"columns": columns, "datasets": [{"name": "", "label": "noise"}]}


def failing():
    """A ranking of three networks, one of which failed, and a proxy without any score."""
    head = {"direction": "lower", "seconds": 1.0, "std": 0.0, "proxy": "p"}
    rows = [
        {"candidate": "a", "score": 2.0, "rank": 1, "status": "ok", "reason": ""},
        {"candidate": "b", "score": 3.0, "rank": 2, "status": "ok", "reason": ""},
    ]
    failed = {"score": np.nan, "rank": None, "status": "failed", "reason": "ValueError: no"}
    table = pd.DataFrame([*rows, {"candidate": "c"} | failed]).assign(**head)
    data = rank_data(table) | {"name": "failing", "label": "failing"}
    nothing = data["columns"][0] | {"label": "nothing", "values": [None] * 3, "command": ""}
    return data | {"columns": [*data["columns"], nothing]}


@pytest.fixture(scope="module")
def data(run):
    return space_data(run[0])


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        # the sandbox needs rights that containers seldom have
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser, run):
    """Open the page without a network; what goes wrong in it fails the test."""
    wrong, asked, contexts = [], [], []

    def opened(width=1280, height=900, **settings):
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(run[1].as_uri())
        page.wait_for_selector("body[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {run[1].as_uri()}


@pytest.fixture(scope="module")
def shared(opened):
    return opened()


@pytest.fixture
def page(shared):
    """The page as it was opened."""
    shared.reload()
    shared.wait_for_selector("body[data-ready]")
    return shared


def columns(data, dataset="cifar10"):
    return {one["label"]: one for one in data["columns"] if one["dataset"] in (dataset, "")}


def last(column):
    """The values of a column with undefined ones last."""
    worst = np.inf if column["lower"] else -np.inf
    return np.array([worst if value is None else value for value in column["values"]])


def shown_tau(page):
    page.wait_for_selector("#tau[aria-busy=false]")
    shown = page.locator("#tau").evaluate("element => ({...element.dataset})")
    assert float(shown["low"]) <= float(shown["tau"]) <= float(shown["high"])
    return float(shown["tau"]), int(shown["n"])


ACCURACY = "CIFAR-10 test accuracy, 200 epochs (%)"


def expected(data, x="naswot", y=ACCURACY, dataset="cifar10", chosen=None):
    known = columns(data, dataset)
    first, second = last(known[x]), last(known[y])
    chosen = np.ones(len(first), bool) if chosen is None else chosen(first, second)
    return kendalltau(first[chosen], second[chosen]).statistic, chosen.sum()


def test_tau_is_scipys_and_the_interval_the_reports(page, data, run):
    tau, n = shown_tau(page)
    assert (tau, n) == (pytest.approx(expected(data)[0], abs=1e-9), explored.CELLS)
    table = (
        run[0]
        .table("correlations")
        .query("proxy == 'naswot' and split == 'ori-test' and subset == 'all sampled'")
    )
    low, high = (float(page.get_attribute("#tau", f"data-{end}")) for end in ("low", "high"))
    assert low == pytest.approx(table["tau_low"].item(), abs=0.03)
    assert high == pytest.approx(table["tau_high"].item(), abs=0.03)


def test_what_is_chosen_is_correlated(page, data):
    page.select_option("#x", label="ntk_condition_number")
    assert shown_tau(page)[0] == pytest.approx(expected(data, "ntk_condition_number")[0], abs=1e-9)
    page.select_option("#x", label="latency on raspi4 (ms)")
    latency = expected(data, "latency on raspi4 (ms)")[0]
    assert shown_tau(page)[0] == pytest.approx(latency, abs=1e-9)
    assert "latency on raspi4 (ms)" in page.locator("#table thead").text_content()
    page.select_option("#x", label="ntk_condition_number")
    assert "latency on" not in page.locator("#table thead").text_content()
    page.select_option("#y", label="naswot")
    tau = expected(data, "ntk_condition_number", "naswot")[0]  # undefined values of y rank last
    assert shown_tau(page) == (pytest.approx(tau, abs=1e-9), explored.CELLS)
    page.select_option("#y", "")
    page.select_option("#x", label="naswot")
    page.select_option("#dataset", "cifar100")
    page.select_option("#split", "val")
    accuracy = "CIFAR-100 validation accuracy, 200 epochs (%)"
    assert shown_tau(page)[0] == pytest.approx(
        expected(data, y=accuracy, dataset="cifar100")[0], abs=1e-9
    )


def test_an_interval_that_is_out_of_date_is_not_shown(page):
    seen = page.evaluate(
        """async () => {
          const x = document.getElementById("x"), tau = document.getElementById("tau"), seen = [];
          while (tau.ariaBusy === "true") await new Promise((done) => { setTimeout(done, 5); });
          new MutationObserver(() => seen.push(tau.textContent)).observe(tau, {childList: true});
          for (const place of [1, 0]) {
            x.selectedIndex = place;
            x.dispatchEvent(new Event("change"));
          }
          while (tau.ariaBusy === "true") await new Promise((done) => { setTimeout(done, 5); });
          await new Promise((done) => { setTimeout(done, 200); });
          return seen;
        }"""
    )
    assert seen[0].startswith("Kendall's tau-b of naswot and"), "it is there before its interval"
    assert [text for text in seen if "resamples" in text] == seen[1:]
    assert len(seen) == 2


def test_the_top_tenth_is_that_of_the_report(page, data, run):
    page.click("#tenth")
    table = (
        run[0]
        .table("correlations")
        .query("proxy == 'naswot' and split == 'ori-test' and subset == 'top 10 %'")
    )
    assert shown_tau(page) == (pytest.approx(table["tau"].item(), abs=1e-9), table["n"].item())
    assert page.locator("#table tbody tr").count() == table["n"].item()
    page.click("#everything")
    assert shown_tau(page)[1] == explored.CELLS


def place_of(page, x, y):
    """Where a point of the data is on the screen."""
    page.locator("#scatter").scroll_into_view_if_needed()
    return page.evaluate(
        """([x, y]) => {
          const plot = document.getElementById("scatter"), {xaxis, yaxis} = plot._fullLayout;
          const {left, top} = plot.getBoundingClientRect();
          return [left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(y)];
        }""",
        [x, y],
    )


def test_a_double_click_ends_a_selection(page, data):
    """Plotly shows all points as selected then, and so does the rest of the page."""
    page.fill("#y-from", "85")
    page.keyboard.press("Tab")
    assert shown_tau(page)[1] < explored.CELLS
    page.evaluate("document.getElementById('scatter').emit('plotly_deselect')")
    assert page.input_value("#y-from") == ""
    assert shown_tau(page)[1] == expected(data)[1]


def test_a_box_selects(page, data):
    start, end = place_of(page, -0.5, 60), place_of(page, 1.0, 90)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()
    page.wait_for_function("document.getElementById('x-from').value !== ''")
    bounds = [float(page.input_value(f"#{end}")) for end in ("x-from", "x-to", "y-from", "y-to")]
    assert bounds == pytest.approx([-0.5, 1, 60, 90], abs=0.5)

    def inside(x, y):
        low, high, bottom, top = bounds
        return (x >= low) & (x <= high) & (y >= bottom) & (y <= top)

    tau, n = expected(data, chosen=inside)
    assert 5 < n < explored.CELLS
    assert shown_tau(page) == (pytest.approx(tau, abs=1e-9), n)
    page.fill("#y-from", "85")
    page.keyboard.press("Tab")
    bounds[2] = 85
    assert shown_tau(page)[0] == pytest.approx(expected(data, chosen=inside)[0], abs=1e-9)


def test_a_click_shows_the_cell_and_its_command(page, data):
    known = columns(data)
    # the most accurate one, which no other lies upon
    place = int(np.argmax(last(known[ACCURACY])))
    page.mouse.click(
        *place_of(page, known["naswot"]["values"][place], last(known[ACCURACY])[place])
    )
    index = data["index"][place]
    page.wait_for_function(f"document.getElementById('picked').textContent.startsWith('{index}:')")
    command = f"untrained score nasbench201 {index} --dataset cifar10 --proxy naswot"
    assert page.inner_text("#command").startswith(command)
    drawn = page.locator("#graph .annotation-text").all_text_contents()
    operations = [edge[2] for edge in data["drawings"][place][0]["edges"]]
    assert sorted(filter(None, drawn)) == sorted([*operations, "input", "1", "2", "output"])
    assert page.locator("#graph .shapelayer path").count() == len(operations)
    facts = dict(line.split("\t") for line in page.inner_text("#facts").splitlines())
    assert float(facts[ACCURACY]) == pytest.approx(last(known[ACCURACY])[place], rel=1e-7)


def test_hover_says_what_a_point_is(page, data):
    known = columns(data)
    place = int(np.argmax(last(known[ACCURACY])))
    page.mouse.move(*place_of(page, known["naswot"]["values"][place], last(known[ACCURACY])[place]))
    page.wait_for_selector("#scatter .hovertext")
    text = page.locator("#scatter .hovertext").text_content()
    assert data["names"][place] in text
    for label in (ACCURACY, "naswot", "parameters (benchmark)"):
        assert f"{label}: " in text


def test_everything_can_be_done_with_the_keyboard(page):
    page.focus("#scatter")
    page.keyboard.press("ArrowRight")
    first = page.inner_text("#picked")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#picked") != first
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#picked") == first
    page.focus("#tenth")
    page.keyboard.press("Enter")
    assert shown_tau(page)[1] == 6
    page.focus("#table tbody button")
    page.keyboard.press("Enter")
    assert page.inner_text("#picked") == page.inner_text("#table tbody button >> nth=0")
    reached = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.of"))
    controls = {"dataset", "split", "x", "y", "scatter", "tenth", "x-from", "copy", "subset"}
    assert controls - reached == set()
    page.focus("nav a >> text=Searches")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "searched", "past the rows of the table"


def test_the_table_is_sorted_by_any_column(page, data):
    def heads():
        return page.locator("#table thead th").evaluate_all(
            "all => all.map(one => [one.textContent, one.ariaSort])"
        )

    names = [name for name, _ in heads()]
    assert dict(heads())[ACCURACY] == "descending"
    for name in names[1:]:
        page.click(f"#table thead th:nth-child({names.index(name) + 1}) button")
        cells = page.locator(
            f"#table tbody td:nth-child({names.index(name) + 1})"
        ).all_inner_texts()
        known = [float(cell) for cell in cells if cell != "undefined"]
        rising = dict(heads())[name] == "ascending"
        assert known == sorted(known, reverse=not rising), name
        assert "undefined" not in cells[: len(known)]
    assert len(cells) == explored.CELLS


def test_the_best_tenth_is_the_least_where_lower_is_better(page, data):
    page.select_option("#y", label="ntk_condition_number")
    page.click("#tenth")
    values = last(columns(data)["ntk_condition_number"])
    border = np.sort(values)[-(-len(values) // 10) - 1]
    assert page.input_value("#y-from") == ""
    assert float(page.input_value("#y-to")) == pytest.approx(border)
    tau = expected(data, y="ntk_condition_number", chosen=lambda _, y: y <= border)
    assert shown_tau(page) == (pytest.approx(tau[0], abs=1e-9), tau[1])


def test_bounds_are_drawn_and_end_with_another_choice(page):
    page.fill("#x-from", "0.25")
    page.fill("#y-to", "85")
    page.keyboard.press("Tab")
    (box,) = page.evaluate("document.getElementById('scatter').layout.shapes")
    assert (box["type"], box["x0"], box["y1"]) == ("rect", 0.25, 85)
    assert box["x1"] < 5 < box["y0"] < 85
    page.select_option("#x", label="parameters (benchmark)")
    assert page.input_value("#x-from") == page.input_value("#y-to") == ""
    assert not page.evaluate("document.getElementById('scatter').layout.shapes.length")
    page.select_option("#dataset", "cifar100")
    assert page.locator("#x option:checked").inner_text() == "parameters (benchmark)"


def test_a_ring_is_around_what_is_picked(page, data):
    page.click("#table tbody button >> nth=2")
    place = data["index"].index(int(page.inner_text("#picked").partition(":")[0]))
    page.wait_for_function("document.getElementById('scatter').layout.shapes.length")
    (ring,) = page.evaluate("document.getElementById('scatter').layout.shapes")
    x, y = (columns(data)[label]["values"][place] for label in ("naswot", ACCURACY))
    assert (ring["type"], ring["xanchor"], ring["yanchor"]) == ("circle", x, y)


def test_arrows_go_round(page, data):
    """The picked are in the order of x, from the first or the last one."""
    x = last(columns(data)["naswot"])
    undefined = np.isinf(x).sum()
    first, end = np.argsort(x, kind="stable")[[0, -1]]
    page.focus("#scatter")
    for key, place in (("ArrowLeft", end), ("ArrowRight", first), ("ArrowLeft", end)):
        page.keyboard.press(key)
        picked = page.inner_text("#picked").partition(":")[0]
        assert int(picked) == data["index"][place], (key, undefined)


def test_another_space_has_what_it_has(page):
    page.select_option("#split", "val")
    page.select_option("#space", "other")
    assert page.locator("#split option").all_inner_texts() == ["test"]
    assert shown_tau(page)[1] == explored.CELLS
    assert not page.is_visible("#searches")
    assert not page.is_visible("nav a >> text=Searches")
    page.click("text=it's $mine")
    assert page.inner_text("#command") == "untrained rank 'it'\\''s $mine'"
    page.select_option("#space", "nasbench201")
    assert page.is_visible("#searches")
    assert page.inner_text("#picked") == "None is chosen yet."


def test_methods_are_shown_and_hidden(page):
    drawn = page.locator("#regret .scatterlayer .trace")
    assert drawn.count() == 8, "a line and two ends of a band for each curve, and two points"
    page.uncheck("#methods input[value=AREA]")
    page.wait_for_function("document.querySelectorAll('#regret .scatterlayer .trace').length === 5")
    assert "without a cost" in page.locator("#regret").text_content()
    assert {row[0] for row in table_of(page, "regret")} == {
        "method",
        "REA",
        "NASWOT N=10",
        "Random",
    }


def test_searches_that_train_nothing_have_a_place_and_an_interval(page, data):
    curves = {one["method"]: one for one in data["searches"]}
    lines = {one["name"]: one for one in drawn(page, "regret") if one.get("name")}
    for name, axis, x in (("Random", "x2", ["Random"]), ("NASWOT N=10", "x", [3])):
        own, line = curves[name], lines[name]
        assert (line["xaxis"], line["x"], line["y"]) == (axis, x, own["regret"])
        error = line["error_y"]
        assert error["array"] == [own["regret_high"][0] - own["regret"][0]] == [0.5]
        assert error["arrayminus"] == [own["regret"][0] - own["regret_low"][0]] == [1]


def test_a_search_on_other_images_is_dashed(page):
    page.select_option("#space", "many")
    assert page.inner_text("#within") == "Only cheap ones."
    lines = {one["name"]: one["line"] for one in drawn(page, "regret") if one.get("name")}
    own, other = lines["search 1"], lines["search 1, searched on other"]
    assert (own["dash"], other["dash"]) == ("solid", "dash")
    assert own["color"] == other["color"]


def test_the_heat_map_has_the_taus_of_the_table(page, data):
    page.select_option("#subset", "finite only")
    rows = [row for row in data["correlations"] if row["subset"] == "finite only" and row["test"]]
    shown = page.locator("#heat .heatmap-label").all_text_contents()
    assert sorted(shown) == sorted(f"{row['tau']:.2f}" for row in rows)


@pytest.mark.parametrize("figure", ["scatter", "graph", "regret", "heat"])
def test_figures_are_downloaded(page, figure):
    page.click("#table tbody button >> nth=0")
    starts = {"png": b"\x89PNG", "svg": b"<svg", "csv": b""}
    for suffix, start in starts.items():
        with page.expect_download() as download:
            page.click(f'[data-of="{figure}"][data-format="{suffix}"]')
        assert download.value.suggested_filename == f"nasbench201-{figure}.{suffix}"
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(start)
        if suffix == "csv":
            lines = content.decode().splitlines()
            assert len(lines) > 1
            assert len({len(re.findall(r'"[^"]*"|[^,]+|(?<=,)(?=,|$)', one)) for one in lines}) == 1


def test_on_a_phone_nothing_is_wider_than_the_screen(opened):
    page = opened(390, 844, is_mobile=True, has_touch=True)
    page.tap("#table tbody button >> nth=0")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("#graph .annotation-text").count() > 4


def test_figures_of_a_dark_page_are_downloaded_light_and_with_a_legend(opened):
    page = opened(color_scheme="dark")
    with page.expect_download() as download:
        page.click('[data-of="regret"][data-format="svg"]')
    text = Path(download.value.path()).read_text()
    assert "rgb(27, 27, 27)" in text, "dark text"
    assert "rgb(255, 255, 255)" in text, "on white"
    assert re.search(r'class="legendtext"[^>]*>AREA<', text)


def luminance(page, selector, name):
    colour = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{name}")
    red, green, blue = (
        (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
        for part in (int(value) / 255 for value in re.findall(r"\d+", colour)[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_light_and_dark_have_contrast(page, opened):
    """At least 7 to 1, which WCAG's level AAA asks of text; text of figures has the same colour."""
    for shown, dark in ((page, False), (opened(color_scheme="dark"), True)):
        text, back = (
            luminance(shown, "body", "color"),
            luminance(shown, "section", "backgroundColor"),
        )
        assert (text > back) == dark
        assert (max(text, back) + 0.05) / (min(text, back) + 0.05) > 7
        assert luminance(shown, "#scatter .xtick text", "fill") == pytest.approx(text)


def table_of(page, figure):
    """Download the data of a figure as rows."""
    with page.expect_download() as download:
        page.click(f'[data-of="{figure}"][data-format="csv"]')
    return [*csv.reader(Path(download.value.path()).read_text().splitlines())]


def cells(*values):
    """Cells of a downloaded table, where numbers have the fewest digits that tell them apart."""
    return ["" if value is None else f"{value:.17g}" for value in values]


def same(found, expected):
    """Whether rows of text are the same, up to how numbers are spelled."""

    def read(cell):
        try:
            return float(cell)
        except ValueError:
            return cell

    assert [[*map(read, row)] for row in found] == [[*map(read, row)] for row in expected]


def test_downloaded_tables_have_the_data(page, data):
    known = columns(data)
    x, y = known["naswot"]["values"], known[ACCURACY]["values"]
    page.fill("#x-from", "0.2")
    page.keyboard.press("Tab")
    head, *rows = table_of(page, "scatter")
    assert head == ["index", "architecture", "naswot", ACCURACY, "selected"]
    chosen = [str(int(value is not None and value >= 0.2)) for value in x]
    same(rows, [
        [str(index), name, *cells(one, other), inside]
        for index, name, one, other, inside in zip(
            data["index"], data["names"], x, y, chosen, strict=True
        )
    ])  # fmt: skip
    page.click("#everything")
    head, *rows = table_of(page, "table")
    assert len(rows) == explored.CELLS
    for label, place in ((name, head.index(name)) for name in head[2:]):
        by_index = {int(row[0]): row[place] for row in rows}
        found = [[by_index[index]] for index in data["index"]]
        same(found, [cells(value) for value in known[label]["values"]])
    head, *rows = table_of(page, "heat")
    assert head == ["proxy", "space and images", "n", "tau", "low", "high"]
    subset = page.input_value("#subset")
    own = [row for row in data["correlations"] if row["subset"] == subset and row["test"]]
    labels = {one["name"]: one["label"] for one in data["datasets"]}
    same(rows, [
        [row["proxy"], f"{data['label']} {labels[row['images']]}",
         *cells(*(row[name] for name in ("n", "tau", "tau_low", "tau_high")))]
        for row in own
    ])  # fmt: skip
    assert any(row["tau_low"] < row["tau_high"] for row in own)
    page.click("#table tbody button >> nth=0")
    place = data["index"].index(int(page.inner_text("#picked").partition(":")[0]))
    (one,) = data["drawings"][place]
    assert table_of(page, "graph")[1:] == [
        [one["nodes"][source], one["nodes"][target], label]
        for source, target, label in one["edges"]
    ]
    head, *rows = table_of(page, "regret")
    same(rows, [
        [one["method"], one["searched_on"],
         *cells(spent), one["unit"],
         *cells(*(one[name][place] for name in ("regret", "regret_low", "regret_high"))),
         str(one["runs"])]
        for one in data["searches"]
        for place, spent in enumerate(one["spent"])
    ])  # fmt: skip


def drawn(page, figure):
    """The traces of a figure as Plotly has them."""
    return page.evaluate(f"document.getElementById('{figure}').data")


def test_curves_have_colours_of_their_own_and_bands_two_edges(page, data):
    curves = {one["method"]: one for one in data["searches"]}
    traces = drawn(page, "regret")
    lines = {one["name"]: one for one in traces if one.get("name")}
    assert set(lines) == set(curves)
    colours = {lines[name]["line"]["color"] for name in ("AREA", "REA")}
    assert len(colours) == 2
    for name in ("AREA", "REA"):
        low, high, line = traces[traces.index(lines[name]) - 2 :][:3]
        own = curves[name]
        assert (low["y"], high["y"], line["y"]) == (
            own["regret_low"], own["regret_high"], own["regret"]
        )  # fmt: skip
        assert low["y"] != high["y"]
        red, green, blue = (int(line["line"]["color"][start:][:2], 16) for start in (1, 3, 5))
        assert high["fillcolor"] == f"rgba({red},{green},{blue},0.2)"
    place = traces.index(lines["AREA"])
    page.evaluate(f"Plotly.Fx.hover('regret', [{{curveNumber: {place}, pointNumber: 1}}])")
    assert page.locator("#regret .hovertext").text_content() == "AREAregret 1.000 points, 9 runs"
    signs = page.locator("#methods label span")
    names = signs.evaluate_all("all => all.map(one => one.style.color)")
    assert len(set(names[:2])) == 2


def test_colours_have_contrast_on_the_panel(page):
    """At least 3 to 1 for lines and 4.5 to 1 for text (WCAG 2.2, levels AA of 1.4.11 and 1.4.3)."""

    def ratio(one, other):
        low, high = sorted((relative(one), relative(other)))
        return (high + 0.05) / (low + 0.05)

    panel = re.findall(r"\d+", page.evaluate(
        "getComputedStyle(document.querySelector('section')).backgroundColor"
    ))  # fmt: skip
    page.select_option("#space", "many")
    shown = {one["line"]["color"] for one in drawn(page, "regret") if "color" in one["line"]}
    assert len(shown) == 7
    for colour in shown:
        assert ratio(channels(colour), [int(one) for one in panel]) >= 3, colour
    (heat,) = drawn(page, "heat")
    for _, colour in heat["colorscale"]:
        assert ratio(channels(colour), channels(heat["textfont"]["color"])) >= 4.5


#: What people without one kind of cones see of linear RGB (Machado et al. 2009, severity 1).
BLIND = {
    "no": np.eye(3),
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
              [-0.011820, 0.042940, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
             [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def lab(linear):
    """Linear RGB in CIELAB, white point D65."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(linear, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_colour_blind_can_tell_curves_apart(page):
    page.select_option("#space", "many")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(300)
        shown = {one["line"]["color"] for one in drawn(page, "regret") if "color" in one["line"]}
        assert len(shown) == 7
        parts = np.array([channels(colour) for colour in shown]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        for kind, seen in BLIND.items():
            points = [lab(np.array(seen) @ one) for one in linear]
            apart = min(np.linalg.norm(one - other) for one, other in combinations(points, 2))
            assert apart > 12, (scheme, kind)  # 2.3 is just noticeable
    page.emulate_media(color_scheme="light")


def channels(colour):
    return [int(colour[start:][:2], 16) for start in (1, 3, 5)]


def relative(colour):
    red, green, blue = (
        (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
        for part in (value / 255 for value in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_change_of_the_theme_draws_all_again(page):
    page.click("#table tbody button >> nth=0")
    page.emulate_media(color_scheme="dark")
    try:
        dark = page.evaluate("getComputedStyle(document.body).color")
        for figure in ("scatter", "regret", "heat"):
            page.wait_for_function(
                """([figure, colour]) => getComputedStyle(
                  document.querySelector(`#${figure} .xtick text`)).fill === colour""",
                arg=[figure, dark],
            )
        page.wait_for_function(
            "colour => getComputedStyle(document.querySelector('#graph .annotation-text')).fill "
            "=== colour",
            arg=dark,
        )
    finally:
        page.emulate_media(color_scheme="light")


def test_what_is_on_the_page_fits_and_has_a_name(page, data):
    right = page.locator("#table thead th:last-child").bounding_box()
    outer = page.locator("#table").locator("xpath=..").bounding_box()
    assert right["x"] + right["width"] <= outer["x"] + outer["width"]
    page.click("#table tbody button >> nth=0")
    figures = page.locator("figure").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert figures == [
        f"{ACCURACY} against naswot",
        f"graph of {page.inner_text('#picked')}",
        "regret of searches, CIFAR-10",
        "Kendall's tau of all scores, all sampled",
    ]


def test_a_command_is_copied_and_only_that_of_the_score_is_shown(opened, data):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.click("#table tbody button >> nth=0")
    page.click("#copy")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.inner_text("#command")
    assert copied.startswith("untrained score nasbench201 ")
    page.select_option("#x", label="accuracy after 12 epochs")
    page.click("#table tbody button >> nth=0")
    assert not page.is_visible("#command-of")


def test_columns_that_share_a_label_have_their_own_values(page):
    page.select_option("#space", "many")
    data = many()
    for place in (1, 2):
        page.select_option("#x", str(place))
        page.select_option("#y", "0")
        x, y = data["columns"][place]["values"], data["columns"][0]["values"]
        assert shown_tau(page)[0] == pytest.approx(kendalltau(x, y).statistic, abs=1e-9)
        _, *rows = table_of(page, "scatter")
        assert [[float(one) for one in row[1:3]] for row in rows] == [
            [*pair] for pair in zip(x, y, strict=True)
        ]
        (trace,) = drawn(page, "scatter")
        assert trace["x"] == x
        assert trace["y"] == y
    assert rows[0][0] == "'=1+2"
    assert trace["text"][1].startswith("&lt;b&gt;bold&lt;/b&gt; &amp; co<br>")


def test_what_was_not_scored_is_left_out(page):
    page.select_option("#space", "many")
    page.select_option("#x", label="partly")
    page.select_option("#y", label="first")
    first, _, _, partly = many()["columns"]
    x, y = last(partly)[30:], last(first)[30:]
    assert shown_tau(page) == (pytest.approx(kendalltau(x, y).statistic, abs=1e-9), 100)
    assert [len(one["x"]) for one in drawn(page, "scatter")] == [99, 1], "one is undefined"
    page.click("#more")
    shown = page.locator("#table tbody tr").evaluate_all("all => all.map(one => one.innerText)")
    assert sum("not scored" in one for one in shown) == 30
    assert sum("undefined" in one for one in shown) == 1


def test_more_rows_are_shown_and_the_focus_stays(page):
    page.select_option("#space", "many")
    rows = page.locator("#table tbody tr")
    assert rows.count() == 100
    page.focus("#more")
    page.keyboard.press("Enter")
    assert rows.count() == 130
    assert not page.is_visible("#more")
    focused = "document.activeElement.textContent"
    assert page.evaluate(focused) == rows.nth(100).locator("button").inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate(focused) == page.inner_text("#picked")
    assert page.locator("#table tr.picked").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == rows.nth(101).locator("button").inner_text()
    page.fill("#x-from", "1e9")
    page.keyboard.press("Tab")
    assert rows.count() == 0
    page.focus("#scatter")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.getElementById('tau').dataset.n") == "0"
    assert "resamples" not in page.inner_text("#tau")


def test_networks_that_failed_are_in_the_table_and_rank_last(page):
    (before,) = drawn(page, "heat")
    page.select_option("#space", "failing")
    (after,) = drawn(page, "heat")
    assert after["text"] == before["text"], "of test accuracies, where no split is chosen"
    head, *rows = table_of(page, "table")
    assert head == ["candidate", "p", "rank by p", "nothing", "status"]
    assert sorted(rows) == [["a", "2", "1", "", ""], ["b", "3", "2", "", ""],
                            ["c", "", "", "", "failed: ValueError: no"]]  # fmt: skip
    assert page.locator("#table tbody td:last-child").all_inner_texts() == [
        "ok", "ok", "failed: ValueError: no"
    ]  # fmt: skip
    assert shown_tau(page) == (pytest.approx(1), 3)
    page.locator("#table tbody button").nth(2).click()
    assert "failed: ValueError: no" in page.inner_text("#facts")
    lost = drawn(page, "scatter")[1]
    assert lost["text"][0].endswith("<br>failed: ValueError: no")
    assert (lost["x"][0] > 3, lost["y"][0] > 2) == (True, True), "both are better if lower"
    page.fill("#x-to", "3")
    page.keyboard.press("Tab")
    page.wait_for_selector("#tau[aria-busy=false]")
    assert page.inner_text("#tau").startswith(
        "Kendall's tau-b of p and rank by p: undefined over 2"
    )
    assert "resamples" not in page.inner_text("#tau")
    page.select_option("#y", label="nothing")
    page.click("#tenth")
    assert page.input_value("#y-to") == page.input_value("#y-from") == ""
    assert ": undefined over all 3 candidates;" in page.inner_text("#tau")


def test_a_page_of_all_of_nasbench101_opens(browser, tmp_path):
    """423,624 points, which are more than a call takes arguments and than texts have memory for."""
    count, generator = 423_624, np.random.default_rng(1)
    head = {"dataset": "", "split": "", "lower": False}
    values = generator.integers(0, 1000, (2, count))
    columns = [
        head | {"label": label, "kind": "score", "values": own.tolist()}
        for label, own in zip("xy", values, strict=True)
    ]
    data = {"name": "all", "label": "all", "members": "cells", "notes": None, "columns": columns}
    data |= {"index": None, "names": [*map(str, range(count))], "drawings": [[]] * count}
    data |= {"datasets": [{"name": "", "label": "noise"}], "correlations": [], "searches": []}
    data["within"] = []
    (tmp_path / "index.html").write_text(explorer("All", [data]))
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((tmp_path / "index.html").as_uri())
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    page.click("#tenth")
    page.wait_for_selector("#tau[aria-busy=false]", timeout=120_000)
    shown = page.locator("#tau").evaluate("element => ({...element.dataset})")
    best = values[1] >= np.sort(values[1])[-count // 10]
    tau = kendalltau(*values[:, best]).statistic
    assert float(shown["tau"]) == pytest.approx(tau, abs=1e-9)
    assert int(shown["n"]) == best.sum() > count // 10
    # 1.96 standard deviations of tau where x and y have nothing to do with each other
    width = float(shown["high"]) - float(shown["low"])
    assert width == pytest.approx(2 * 1.96 * np.sqrt(4 / 9 / best.sum()), rel=0.3)
    assert wrong == []
    page.close()
