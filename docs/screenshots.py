"""Take the pictures of the default run for the documentation: `make screenshots`, after `make run`.

These are screenshots of the interactive page, and figures of the report.
"""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

PAGE = Path("results/report/index.html").resolve()
DRAWN = Path("results/figures/nasbench201")
FIGURES = Path(__file__).parent / "figures"
#: Name to (width, height) in pixels and further settings of the browser.
SCREENS = {
    "page": ((1280, 900), {}),
    "page-dark": ((1280, 900), {"color_scheme": "dark"}),
    "page-phone": ((390, 844), {"is_mobile": True, "has_touch": True}),
}

for name in ("scores", "regret", "device_fronts", "device_progress"):
    shutil.copy(DRAWN / f"{name}.png", FIGURES / f"nasbench201-{name}.png")
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    for name, ((width, height), settings) in SCREENS.items():
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        page = context.new_page()
        page.goto(PAGE.as_uri())
        page.wait_for_selector("body[data-ready]")
        page.click("#table tbody button >> nth=2")
        page.wait_for_selector("#graph .shapelayer path", state="attached")
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=FIGURES / f"{name}.png")
    browser.close()
